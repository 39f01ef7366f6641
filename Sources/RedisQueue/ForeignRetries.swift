import Basics

/// How far due retries are known to be other queues': nobody may serve those, so they are not looked at each time; and what
/// others put before that place, by a clock that is late, is found when all is looked through anew from time to time. Pure.
struct ForeignRetries {
    /// Where to go on, as `RetryWalk` has it.
    private var cursor = ""
    /// How many there are.
    private var count: Int64 = 0
    /// When they were last looked at from the head on, in steady time.
    private var begun = Instant.zero

    private static let shortestRest = TimeSpan.seconds(5)
    private static let longestRest = TimeSpan.seconds(60)
    /// So many are looked through anew for each `shortestRest`.
    private static let countPerRest = 1000.0

    /// Where to go on now.
    mutating func place(now: Instant) -> String {
        let rest = Self.shortestRest * max(1, Double(count) / Self.countPerRest)
        if now - begun >= min(rest, Self.longestRest) { self = ForeignRetries(begun: now) }
        return cursor
    }

    /// Notes how far a look came.
    mutating func looked(until cursor: String, count: Int64) {
        self.cursor = cursor
        self.count = count
    }

    init(begun: Instant = .zero) { self.begun = begun }
}
