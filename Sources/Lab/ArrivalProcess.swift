import Basics

/// Rates scaled so that their mean is `mean`.
func normalized(_ rates: [Double], mean: Double) -> [Double] {
    let sum = rates.reduce(0, +)
    return sum > 0 ? rates.map { $0 * mean * Double(rates.count) / sum } : rates
}

/// Requests of a Poisson stream whose rate is given for each second.
///
/// Thinning (Lewis and Shedler, 1979): a stream at the highest rate, of which each arrival is kept in proportion to the
/// rate at its time.
/// - Parameter lengths: draws prompt and answer length of one request, in tokens.
func poissonArrivals(
    rates: [Double], duration: TimeSpan, using generator: inout SeededGenerator,
    lengths: (inout SeededGenerator) -> (prompt: Int, output: Int)
) -> [TraceRequest] {
    guard let highest = rates.max(), highest > 0 else { return [] }
    var requests: [TraceRequest] = []
    var now = 0.0
    while true {
        now -= naturalLogarithm(1 - generator.unit()) / highest
        guard now < duration.seconds else { return requests }
        guard generator.unit() * highest < rates[min(Int(now), rates.count - 1)] else { continue }
        let length = lengths(&generator)
        requests.append(
            TraceRequest(
                arrival: Instant(seconds: now), promptTokens: length.prompt, outputTokens: length.output))
    }
}
