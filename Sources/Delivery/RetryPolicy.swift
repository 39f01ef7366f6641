public import Basics

/// When a message that was not answered is tried again.
public struct RetryPolicy: Hashable, Sendable {
    /// The backoff before doubling: the first retry waits one to two times this.
    public var base: TimeSpan
    /// The backoff never exceeds this, jitter included.
    public var cap: TimeSpan
    /// The upper bound of the pause after the gateway refused to carry a request.
    public var rejectionPause: TimeSpan
    /// With less than this left before the deadline no further attempt is made.
    public var minimumRemaining: TimeSpan
    /// A message ends after this many failures; nil lets only the deadline end it.
    public var maximumFailures: Int?

    /// Creates a policy; the defaults of `base` and `cap` are upstream's.
    public init(
        base: TimeSpan = .seconds(2), cap: TimeSpan = .seconds(60), rejectionPause: TimeSpan = .seconds(1),
        minimumRemaining: TimeSpan = .seconds(1), maximumFailures: Int? = nil
    ) {
        self.base = base
        self.cap = cap
        self.rejectionPause = rejectionPause
        self.minimumRemaining = minimumRemaining
        self.maximumFailures = maximumFailures
    }

    /// The pause before the retry that follows the `setback`-th setback (1 is the first).
    ///
    /// Exponential with equal jitter, bounded by the time that remains, so that a retry always starts before the
    /// deadline (shared reference `async-processor.md` 3.5): uniform in [t/2, t) with
    /// t = min(cap, remaining, base * 2^setback). A longer `retryAfter` replaces it, up to half of what remains, spread
    /// over a quarter more so that those turned away together do not return together.
    public func backoff(
        setback: Int, remaining: TimeSpan, retryAfter: TimeSpan?, using generator: inout SeededGenerator
    ) -> TimeSpan {
        let doublings = min(max(setback, 0), 30)
        let bound = min(cap, remaining, base * Double(1 << doublings))
        return pause(upTo: bound, remaining: remaining, retryAfter: retryAfter, using: &generator)
    }

    /// The pause after the gateway refused to carry a request: short and without growth, as nothing has been tried.
    public func pauseAfterRejection(
        remaining: TimeSpan, retryAfter: TimeSpan?, using generator: inout SeededGenerator
    ) -> TimeSpan {
        pause(
            upTo: min(rejectionPause, remaining), remaining: remaining, retryAfter: retryAfter, using: &generator)
    }

    private func pause(
        upTo bound: TimeSpan, remaining: TimeSpan, retryAfter: TimeSpan?, using generator: inout SeededGenerator
    ) -> TimeSpan {
        let jittered = bound * (0.5 + 0.5 * generator.unit())
        guard let retryAfter, retryAfter > jittered else { return jittered }
        return max(jittered, min(retryAfter, remaining * 0.5) * (1 + 0.25 * generator.unit()))
    }
}
