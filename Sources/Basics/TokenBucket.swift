/// A bucket that fills at a rate and is drained by what is admitted; its level may go below zero.
///
/// Whoever finds the level positive may take any amount: the debt is then paid off before the next one passes. That keeps
/// the long-run rate exact for charges larger than the capacity (one long prompt).
public struct TokenBucket: Sendable {
    /// The level never rises above this.
    public var capacity: Double
    /// Units added per second; zero or less adds nothing.
    public var refillPerSecond: Double
    private var level: Double
    private var updated: Instant

    /// Creates a full bucket at `now`.
    public init(capacity: Double, refillPerSecond: Double, now: Instant) {
        self.capacity = capacity
        self.refillPerSecond = refillPerSecond
        level = capacity
        updated = now
    }

    /// The level at `now`, in units.
    public mutating func level(now: Instant) -> Double {
        let elapsed = (now - updated).seconds
        if elapsed > 0 {
            level = min(capacity, level + max(0, refillPerSecond) * elapsed)
            updated = now
        }
        return level
    }

    /// Takes `amount` units, below zero if need be.
    public mutating func take(_ amount: Double, now: Instant) {
        level = self.level(now: now) - amount
    }

    /// Gives `amount` units back, up to the capacity.
    public mutating func refund(_ amount: Double, now: Instant) {
        level = min(capacity, self.level(now: now) + amount)
    }

    /// When the level will be above zero, or nil if it never will at the present rate.
    public mutating func timeOfPositiveLevel(now: Instant) -> Instant? {
        let current = level(now: now)
        if current > 0 { return now }
        guard refillPerSecond > 0 else { return nil }
        return now + .seconds(-current / refillPerSecond) + TimeSpan(nanoseconds: 1)
    }
}
