import Basics
import DequeModule

/// When waiting items go out together, and how many of them.
///
/// At once while no call is under way; then whatever has come meanwhile, as soon as it fills a call or has waited for a
/// moment, in several calls side by side. So one item alone has no delay, and many make large calls.
struct BatchPlan {
    /// How large calls are, and how many there may be.
    struct Limits: Hashable, Sendable {
        /// Items in one call.
        var items: Int
        /// Bytes in one call; a larger item goes alone.
        var bytes: Int
        /// Calls side by side.
        var calls: Int
        /// How long an item waits for others while a call is under way and another would be free.
        var linger: TimeSpan
    }

    let limits: Limits
    private var waiting: Deque<(bytes: Int, since: Instant)> = []
    private var waitingBytes = 0
    private(set) var calls = 0

    init(limits: Limits) { self.limits = limits }

    /// Items that wait.
    var count: Int { waiting.count }

    mutating func add(bytes: Int, now: Instant) {
        waiting.append((bytes, now))
        waitingBytes += bytes
    }

    /// How many of the oldest items are to go out now, in one call; nil if none is to go yet.
    mutating func next(now: Instant) -> Int? {
        guard let oldest = waiting.first, calls < limits.calls else { return nil }
        let isFull = waiting.count >= limits.items || waitingBytes >= limits.bytes
        guard isFull || calls == 0 || now - oldest.since >= limits.linger else { return nil }
        var count = 0
        var bytes = 0
        while count < limits.items, let item = waiting.first, count == 0 || bytes + item.bytes <= limits.bytes {
            bytes += item.bytes
            count += 1
            waiting.removeFirst()
        }
        waitingBytes -= bytes
        calls += 1
        return count
    }

    mutating func finished() { calls -= 1 }

    /// When `next` is to be asked again although nothing happens.
    var wake: Instant? {
        guard let oldest = waiting.first, calls > 0, calls < limits.calls else { return nil }
        return oldest.since + limits.linger
    }
}
