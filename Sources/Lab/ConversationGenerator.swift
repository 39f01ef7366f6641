public import Basics

extension Trace {
    /// A trace with the statistics of the Azure conversation trace of 2023: nearly Poisson at one second, drifting
    /// over minutes.
    ///
    /// Figures: `workloads.md` B.2 (5.53 requests/s; dispersion 1.4 at 1 s and 16 at 60 s; peak over mean 1.5 at 60 s)
    /// and the trace's own length quantiles (Azure/AzurePublicDataset, CC-BY-4.0: Patel et al., "Splitwise", ISCA 2024).
    public static func generatedConversation(
        seed: UInt64, duration: TimeSpan = TimeSpan.seconds(3501.7), requestsPerSecond: Double = 5.53
    ) -> Trace {
        var generator = SeededGenerator(seed: seed)
        let seconds = max(1, Int(duration.seconds.rounded()))
        let rates = driftingRates(count: seconds, mean: requestsPerSecond, using: &generator)
        return Trace(
            name: "azure-conversation (generated)",
            requests: poissonArrivals(rates: rates, duration: duration, using: &generator, lengths: conversationLengths)
        )
    }

    /// Draws the lengths of one request of a conversation, in tokens.
    static func conversationLengths(using generator: inout SeededGenerator) -> (prompt: Int, output: Int) {
        (promptLengths.draw(using: &generator), outputLengths.draw(using: &generator))
    }

    /// One rate per second: two mean-reverting walks, one over minutes and one over seconds, on a logarithmic scale.
    private static func driftingRates(
        count: Int, mean: Double, using generator: inout SeededGenerator
    ) -> [Double] {
        let walks = [(deviation: 0.19, seconds: 240.0), (deviation: 0.15, seconds: 5.0)]
        var levels = walks.map { $0.deviation * standardNormal(using: &generator) }
        var rates: [Double] = []
        rates.reserveCapacity(count)
        for _ in 0..<count {
            for (index, walk) in walks.enumerated() {
                let kept = exponential(-1 / walk.seconds)
                let kick = walk.deviation * (1 - kept * kept).squareRoot()
                levels[index] = kept * levels[index] + kick * standardNormal(using: &generator)
            }
            rates.append(exponential(levels.reduce(0, +)))
        }
        return normalized(rates, mean: mean)
    }

    private static let promptLengths = QuantileCurve([
        (0, 2), (0.01, 29), (0.05, 181), (0.1, 207), (0.2, 387), (0.3, 403), (0.4, 703), (0.5, 1020), (0.6, 1071),
        (0.7, 1130), (0.75, 1189), (0.8, 1315), (0.85, 1876), (0.9, 2734), (0.95, 4083), (0.98, 4098), (0.99, 4142),
        (0.995, 4831), (0.999, 6122), (1, 14050),
    ])

    private static let outputLengths = QuantileCurve([
        (0, 7), (0.01, 16), (0.05, 41), (0.1, 54), (0.2, 77), (0.25, 85), (0.3, 91), (0.4, 103), (0.5, 129),
        (0.6, 177), (0.7, 384), (0.75, 395), (0.8, 400), (0.85, 411), (0.9, 424), (0.95, 451), (0.98, 540),
        (0.99, 601), (0.995, 643), (0.999, 954), (1, 1000),
    ])
}
