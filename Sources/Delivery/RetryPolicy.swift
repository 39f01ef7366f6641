public import Basics

/// When a message that was not answered is tried again.
public struct RetryPolicy: Hashable, Sendable {
    /// The backoff before doubling: the first retry waits one to two times this.
    public var base: TimeSpan
    /// The backoff never exceeds this, jitter included, unless a `Retry-After` or a backlog lengthens it.
    public var cap: TimeSpan
    /// The upper bound of the pause after a refusal for lack of room when nothing in flight could make any.
    public var capacityPause: TimeSpan
    /// With less than this left before the deadline no further attempt is made.
    public var minimumRemaining: TimeSpan
    /// A message becomes a dead letter after this many failures; nil lets only the deadline end it.
    public var maximumFailures: Int?

    private static let longestStretch = 10.0

    /// Creates a policy; the defaults of `base` and `cap` are upstream's.
    public init(
        base: TimeSpan = .seconds(2), cap: TimeSpan = .seconds(60), capacityPause: TimeSpan = .seconds(1),
        minimumRemaining: TimeSpan = .seconds(1), maximumFailures: Int? = nil
    ) {
        self.base = base
        self.cap = cap
        self.capacityPause = capacityPause
        self.minimumRemaining = minimumRemaining
        self.maximumFailures = maximumFailures
    }

    /// The pause before the retry that follows the `failure`-th failure (1 is the first).
    ///
    /// Exponential with equal jitter, bounded by the time that remains, so that a retry always starts before the
    /// deadline (shared reference `async-processor.md` 3.5): uniform in [t/2, t) with
    /// t = min(cap, remaining, base * 2^failure). A backlog stretches it up to tenfold (a rate measured in bad times must
    /// not put a message off for hours); a longer `retryAfter` replaces it. Both end at half of what remains, spread over a
    /// quarter more so that those turned away together do not return together.
    ///
    /// - Parameter backlogPause: how long the queue needs for the retries that already wait, see `Backlog`.
    public func backoff(
        failure: Int, remaining: TimeSpan, retryAfter: TimeSpan?, backlogPause: TimeSpan = .zero,
        using generator: inout SeededGenerator
    ) -> TimeSpan {
        let doublings = min(max(failure, 0), 30)
        let jittered = min(cap, remaining, base * Double(1 << doublings)) * (0.5 + 0.5 * generator.unit())
        let wished = max(retryAfter ?? .zero, min(backlogPause, jittered * Self.longestStretch))
        guard wished > jittered else { return jittered }
        return max(jittered, min(wished, remaining * 0.5) * (1 + 0.25 * generator.unit()))
    }
}
