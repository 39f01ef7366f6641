public import Basics

/// How much waits in the queue and how fast it goes down: what keeps retries from outrunning fresh work.
public struct Backlog: Sendable {
    /// The share of the drain rate that retries may take while fresh work waits.
    private static let retryShare = 0.5

    /// Messages that are free to be taken.
    public private(set) var ready = 0
    /// Messages that wait for the time of their next attempt.
    public private(set) var delayed = 0
    private var finished = RateEstimate(timeConstant: timeConstant)
    private static let timeConstant = TimeSpan.seconds(30)
    /// When the first result since the start of the process was stored.
    private var began: Instant?

    /// Creates an empty backlog.
    public init() {}

    /// Takes note of the queue's depth.
    public mutating func observe(ready: Int, delayed: Int) {
        self.ready = max(0, ready)
        self.delayed = max(0, delayed)
    }

    /// A message has been sent away until a later attempt, after the last look at the depth.
    public mutating func delayedOne() { delayed += 1 }

    /// A message has its result.
    public mutating func finishedOne(at steady: Instant) {
        began = began ?? steady
        finished.add(1, now: steady)
    }

    /// Messages finished per second, lately.
    ///
    /// The average knows nothing of the time before it began and takes it for idle; the division makes up for that.
    public func drainRate(at steady: Instant) -> Double {
        guard let began else { return 0 }
        let age = max(1, (steady - began).seconds)
        return finished.perSecond(now: steady) / (1 - exponential(-age / Self.timeConstant.seconds))
    }

    /// How long one more retry has to stay away so that retries come back no faster than `retryShare` of the drain rate.
    ///
    /// With `delayed` messages away and a pause of `p` seconds each they return at `delayed / p` per second. Zero while
    /// no fresh work waits, or nothing is known of the rate.
    public func retryPause(at steady: Instant) -> TimeSpan {
        let rate = drainRate(at: steady)
        guard ready > 0, rate > 0 else { return .zero }
        return .seconds(Double(delayed) / (Self.retryShare * rate))
    }
}
