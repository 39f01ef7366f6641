import Basics
import DispatchGates

/// A request that no worker has yet.
struct WaitingRequest: Sendable {
    enum Stage: Hashable {
        /// In line.
        case waiting
        /// A quota is being asked, on the way through the gate of its queue.
        case askingForQueue
        /// The same, on the way through the gate of the pool.
        case askingForPool
    }

    var subject: GateSubject
    /// Its place in its queue's line.
    var key: LineKey
    let offeredAt: Instant
    var stage = Stage.waiting
    /// Whether the gate of its queue has let it pass and holds what it reserved for it.
    var isAdmitted = false
    /// Whether the gate of the pool has let it pass too, and holds what it reserved for it until there is a worker.
    var isCleared = false
    /// The quota that is being asked for.
    var quota: QuotaRequest?
    /// The gates are not to be asked again before this, as their last answer took a question to a quota and was a no.
    var restsUntil: Instant?
    /// The last such pause.
    var rest: TimeSpan?
    /// Whether a gate has turned it away since it last had a chance.
    var isRefused = false
}

/// The order of a line: `rank` is a lane or a priority class, lowest first.
struct LineKey: Hashable, Comparable, Sendable {
    var rank: Int
    let deadline: Instant
    let order: UInt64

    static func < (left: LineKey, right: LineKey) -> Bool {
        if left.rank != right.rank { return left.rank < right.rank }
        if left.deadline != right.deadline { return left.deadline < right.deadline }
        return left.order < right.order
    }
}

/// The waiting requests of one queue, in order.
struct Line: Sendable {
    private(set) var places: [(key: LineKey, id: UInt64)] = []

    mutating func insert(_ id: UInt64, _ key: LineKey) { places.insert((key, id), at: index(of: key)) }

    mutating func remove(_ key: LineKey) {
        let index = index(of: key)
        if index < places.count, places[index].key == key { places.remove(at: index) }
    }

    /// The first place that does not lie before `key`.
    private func index(of key: LineKey) -> Int {
        var low = 0
        var high = places.count
        while low < high {
            let middle = (low + high) / 2
            if places[middle].key < key { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
