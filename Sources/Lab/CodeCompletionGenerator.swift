public import Basics

extension Trace {
    /// A trace in the manner of the Azure code completion trace of 2023: clumps of traffic with silence between them,
    /// long prompts and very short answers.
    ///
    /// Figures: `workloads.md` B.2 (2.57 requests/s; peak over mean 12.8 at 10 s and 4.2 at 60 s) and the length
    /// quantiles of the trace's busiest quarter of an hour (Azure/AzurePublicDataset, CC-BY-4.0).
    public static func generatedCodeCompletion(
        seed: UInt64, duration: TimeSpan = TimeSpan.seconds(3436), requestsPerSecond: Double = 2.57
    ) -> Trace {
        var generator = SeededGenerator(seed: seed)
        let seconds = max(1, Int(duration.seconds.rounded()))
        let rates = clumpedRates(count: seconds, mean: requestsPerSecond, using: &generator)
        return Trace(
            name: "azure-code (generated)",
            requests: poissonArrivals(rates: rates, duration: duration, using: &generator) { generator in
                (promptLengths.draw(using: &generator), outputLengths.draw(using: &generator))
            })
    }

    /// One rate per second: busy stretches whose pace changes every five seconds, and stretches of silence.
    private static func clumpedRates(
        count: Int, mean: Double, using generator: inout SeededGenerator
    ) -> [Double] {
        var rates: [Double] = []
        while rates.count < count {
            let silence = -90 * naturalLogarithm(1 - generator.unit())
            rates += Array(repeating: 0, count: Int(silence))
            let pieces = 1 + Int(-6 * naturalLogarithm(1 - generator.unit()))
            for _ in 0..<pieces {
                rates += Array(repeating: exponential(0.8 * standardNormal(using: &generator)), count: 5)
            }
        }
        return normalized(Array(rates.prefix(count)), mean: mean)
    }

    private static let promptLengths = QuantileCurve([
        (0, 6), (0.01, 24), (0.05, 84), (0.1, 172), (0.2, 446), (0.3, 788), (0.4, 1074), (0.5, 1454), (0.6, 1815),
        (0.7, 2345), (0.8, 3041), (0.9, 4886), (0.95, 7389), (0.99, 7436), (1, 7437),
    ])

    private static let outputLengths = QuantileCurve([
        (0, 6), (0.05, 6), (0.1, 7), (0.2, 8), (0.3, 9), (0.4, 11), (0.5, 13), (0.6, 15), (0.7, 19), (0.8, 28),
        (0.9, 55), (0.95, 84), (0.99, 232), (0.995, 313), (1, 1899),
    ])
}
