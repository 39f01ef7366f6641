public import Basics
import HeapModule

/// Messages that a transport has taken from its broker, under lease, and nobody works on yet: where a broker that cannot
/// choose by target or deadline leaves the choice to us.
///
/// Handed out by priority, then by deadline, then as they came; targets can be left out, as `MessageQueue.lease` asks.
public struct MessageStock: Sendable {
    private struct Key: Hashable, Comparable {
        let priority: Int
        let deadline: Instant
        let order: UInt64

        static func < (left: Key, right: Key) -> Bool {
            if left.priority != right.priority { return left.priority > right.priority }
            if left.deadline != right.deadline { return left.deadline < right.deadline }
            return left.order < right.order
        }
    }

    private struct Place: Comparable {
        let key: Key
        let lease: Lease

        static func < (left: Place, right: Place) -> Bool { left.key < right.key }
        static func == (left: Place, right: Place) -> Bool { left.key == right.key }
    }

    private var messages: [Lease: (key: Key, message: LeasedMessage)] = [:]
    /// What has been taken out otherwise is left in a line until it comes to its head.
    private var lines: [String: Heap<Place>] = [:]
    private var lastOrder: UInt64 = 0
    /// Payloads in stock, in bytes.
    public private(set) var bytes = 0

    /// Creates an empty stock.
    public init() {}

    /// Messages in stock.
    public var count: Int { messages.count }

    /// The leases in stock, which have to be extended by the one who keeps the stock.
    public var leases: [Lease] { Array(messages.keys) }

    /// Puts a message into stock.
    public mutating func insert(_ message: LeasedMessage) {
        remove(message.lease)
        lastOrder += 1
        let key = Key(priority: message.message.priority, deadline: message.message.deadline, order: lastOrder)
        messages[message.lease] = (key, message)
        lines[message.message.target, default: Heap()].insert(Place(key: key, lease: message.lease))
        bytes += message.message.payload.count
    }

    /// Takes out up to `limit` messages in the order in which they are to be started.
    public mutating func take(limit: Int, excluding targets: Set<String>) -> [LeasedMessage] {
        var taken: [LeasedMessage] = []
        var heads = Heap<Head>()
        for target in lines.keys where !targets.contains(target) {
            if let place = head(of: target) { heads.insert(Head(place: place, target: target)) }
        }
        while taken.count < limit, let first = heads.popMin() {
            if let message = remove(first.place.lease) { taken.append(message) }
            if let place = head(of: first.target) { heads.insert(Head(place: place, target: first.target)) }
        }
        return taken
    }

    private struct Head: Comparable {
        let place: Place
        let target: String

        static func < (left: Head, right: Head) -> Bool { left.place < right.place }
        static func == (left: Head, right: Head) -> Bool { left.place == right.place }
    }

    /// Takes out up to `limit` messages whose deadline lies before `instant`.
    public mutating func takeOverdue(before instant: Instant, limit: Int) -> [LeasedMessage] {
        let overdue = messages.values.filter { $0.key.deadline < instant }.sorted { $0.key < $1.key }.prefix(limit)
        return overdue.compactMap { remove($0.message.lease) }
    }

    /// Takes out the message under this lease.
    @discardableResult
    public mutating func remove(_ lease: Lease) -> LeasedMessage? {
        guard let entry = messages.removeValue(forKey: lease) else { return nil }
        bytes -= entry.message.message.payload.count
        return entry.message
    }

    /// Whether there is a message of a target that is not left out.
    public mutating func hasMessage(excluding targets: Set<String>) -> Bool {
        Array(lines.keys).contains { !targets.contains($0) && head(of: $0) != nil }
    }

    private mutating func head(of target: String) -> Place? {
        while let place = lines[target]?.min {
            if messages[place.lease]?.key == place.key { return place }
            _ = lines[target]?.removeMin()
        }
        lines[target] = nil
        return nil
    }
}
