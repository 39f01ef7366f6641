/// An exponentially weighted estimate of a rate from events that each carry an amount.
///
/// An impulse of `amount` adds `amount / timeConstant` and then decays as `exp(-t / timeConstant)`, so the estimate of a
/// steady stream converges on its rate in units per second.
public struct RateEstimate: Sendable {
    private let timeConstantSeconds: Double
    private var value = 0.0
    private var updated = Instant.zero

    /// Creates an estimate of zero. A time constant of 2 s forgets 63 % of the past in 2 s.
    public init(timeConstant: TimeSpan) {
        timeConstantSeconds = max(timeConstant.seconds, 1e-9)
    }

    /// Counts `amount` at `now`.
    public mutating func add(_ amount: Double, now: Instant) {
        value = perSecond(now: now) + amount / timeConstantSeconds
        updated = now
    }

    /// The rate at `now`, in units per second.
    public func perSecond(now: Instant) -> Double {
        value * exponential(-max(0, (now - updated).seconds) / timeConstantSeconds)
    }
}
