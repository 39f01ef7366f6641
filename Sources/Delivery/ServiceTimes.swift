public import Basics

/// How long a target takes to answer, from its last answers: tells messages that cannot be done in time.
///
/// A ring of the last answers, each with the tokens it generated and the time it took. For a message that may generate at
/// most `m` tokens, an answer of `n > m` tokens counts with `m/n` of its time, which leaves out that the prompt takes as long
/// as before; the estimate errs towards giving the message its chance.
public struct ServiceTimes: Sendable {
    private static let capacity = 64
    /// Fewer answers than this tell nothing.
    private static let minimumCount = 16

    private struct Sample {
        let tokens: Int?
        let seconds: Double
    }

    private var samples: [Sample] = []
    private var next = 0
    private var shortest = Double.infinity
    private var slowest = 0.0

    /// Creates an estimate that knows nothing.
    public init() {}

    /// An answer came after `duration`, with so many tokens generated.
    public mutating func observe(_ duration: TimeSpan, tokens: Int?) {
        let sample = Sample(tokens: tokens, seconds: max(0, duration.seconds))
        if samples.count < Self.capacity {
            samples.append(sample)
        } else {
            samples[next] = sample
            next = (next + 1) % Self.capacity
        }
        shortest = min(shortest, sample.seconds)
        slowest = max(slowest, sample.seconds)
        // The extremes of samples that have left the ring are forgotten once in each round.
        if next == 0 {
            shortest = samples.reduce(.infinity) { min($0, $1.seconds) }
            slowest = samples.reduce(0) { max($0, $1.seconds) }
        }
    }

    /// The median time for a message that may generate `limit` tokens at most; zero while too little is known.
    ///
    /// A message with less than this before its deadline is more likely to miss it than not (shared reference
    /// `workloads.md` D.2, latest start, with the median in place of the 95th percentile: one in twenty of those that start
    /// at the 95th percentile fails, which is no reason to fail the other nineteen).
    public func median(limit: Int?) -> TimeSpan {
        guard samples.count >= Self.minimumCount else { return .zero }
        let times = samples.map { sample in
            guard let limit, let tokens = sample.tokens, tokens > max(1, limit) else { return sample.seconds }
            return sample.seconds * Double(max(1, limit)) / Double(tokens)
        }
        return .seconds(Percentiles(times).value(at: 0.5) ?? 0)
    }

    /// No answer of late took longer than this; zero while too little is known.
    public var longest: TimeSpan { samples.count >= Self.minimumCount ? .seconds(slowest) : .zero }

    /// No answer of late came faster than this; zero while too little is known.
    public var fastest: TimeSpan { samples.count >= Self.minimumCount ? .seconds(shortest) : .zero }
}
