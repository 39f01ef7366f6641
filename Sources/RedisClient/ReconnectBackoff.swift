import Basics

/// The pauses between attempts to connect: exponential, jittered, begun anew after a success. Pure.
struct ReconnectBackoff {
    private let settings: RedisClient.Backoff
    private var failures = 0

    init(_ settings: RedisClient.Backoff) { self.settings = settings }

    /// The pause before the next attempt, drawn from the upper half of the current span: never at once, and clients that
    /// lost the same server do not come back in step.
    mutating func nextPause(using generator: inout some RandomNumberGenerator) -> TimeSpan {
        var span = settings.first
        for _ in 0..<failures where span < settings.maximum { span = span * 2 }
        if span < settings.maximum { failures += 1 }
        return min(span, settings.maximum) * Double.random(in: 0.5...1, using: &generator)
    }

    mutating func reset() { failures = 0 }
}
