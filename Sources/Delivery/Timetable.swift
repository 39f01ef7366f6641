import Basics
import HeapModule

/// When each message is to be looked at next; a message has at most one time, and setting another replaces it.
struct Timetable {
    private struct Look: Comparable {
        let at: Instant
        let lease: Lease

        static func < (left: Look, right: Look) -> Bool {
            (left.at, left.lease.sequence, left.lease.token) < (right.at, right.lease.sequence, right.lease.token)
        }
    }

    private var times: [Lease: Instant] = [:]
    /// Looks that have been replaced stay in the heap until they come up, or have become many.
    private var heap = Heap<Look>()

    mutating func set(_ lease: Lease, at instant: Instant) {
        times[lease] = instant
        heap.insert(Look(at: instant, lease: lease))
        if heap.count > 4 * times.count + 1024 { heap = Heap(times.map { Look(at: $0.value, lease: $0.key) }) }
    }

    mutating func clear(_ lease: Lease) { times[lease] = nil }

    func contains(_ lease: Lease) -> Bool { times[lease] != nil }

    /// The earliest time at which there is something to look at.
    mutating func next() -> Instant? {
        while let look = heap.min {
            if times[look.lease] == look.at { return look.at }
            heap.removeMin()
        }
        return nil
    }

    /// Takes out a message whose time has come.
    mutating func popDue(now: Instant) -> Lease? {
        guard let at = next(), at <= now, let look = heap.popMin() else { return nil }
        times[look.lease] = nil
        return look.lease
    }
}
