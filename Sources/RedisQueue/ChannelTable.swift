import Basics
import Delivery

/// The messages of a channel that are in this process, waiting or under lease: bounded in number and bytes. Pure.
struct ChannelTable {
    private struct Entry {
        var message: LeasedMessage
        let envelope: Envelope
        /// When the lease runs out, in steady time; nil in stock.
        var expires: Instant?
    }

    private let maximumMessages: Int
    private let maximumBytes: Int
    private var entries: [Lease: Entry] = [:]
    private var stock = MessageStock()
    private var lastSequence: Int64 = 0
    private var lastToken: Int64 = 0
    /// No lease runs out before this.
    private var nextExpiry = Instant.distantFuture
    /// Members as they arrived, in bytes.
    private(set) var bytes = 0

    init(maximumMessages: Int, maximumBytes: Int) {
        self.maximumMessages = maximumMessages
        self.maximumBytes = maximumBytes
    }

    // MARK: Room

    /// Messages that still fit.
    var room: Int { max(0, maximumMessages - entries.count) }

    /// Bytes that still fit.
    var roomInBytes: Int { max(0, maximumBytes - bytes) }

    func hasRoom(for count: Int) -> Bool { room > 0 && count <= roomInBytes }

    // MARK: Coming and going

    /// Takes a message into stock.
    mutating func insert(
        _ message: InferenceMessage, of envelope: Envelope, attempts: AttemptRecord, enqueued: Instant
    ) {
        lastSequence += 1
        stock(
            Entry(
                message: LeasedMessage(
                    lease: Lease(sequence: lastSequence, token: 0), message: message, attempts: attempts,
                    generation: envelope.fields.token, enqueued: enqueued),
                envelope: envelope, expires: nil))
        bytes += envelope.member.count
    }

    mutating func take(limit: Int, excluding targets: Set<String>, until expires: Instant) -> [LeasedMessage] {
        lease(stock.take(limit: limit, excluding: targets), until: expires)
    }

    mutating func takeOverdue(before instant: Instant, limit: Int, until expires: Instant) -> [LeasedMessage] {
        lease(stock.takeOverdue(before: instant, limit: limit), until: expires)
    }

    private mutating func lease(_ messages: [LeasedMessage], until expires: Instant) -> [LeasedMessage] {
        for message in messages { entries[message.lease]?.expires = expires }
        if !messages.isEmpty { nextExpiry = min(nextExpiry, expires) }
        return messages
    }

    /// Extends leases; returns those that are lost.
    mutating func extend(_ leases: [Lease], until expires: Instant) -> [Lease] {
        leases.filter { lease in
            guard entries[lease]?.expires != nil else { return true }
            entries[lease]?.expires = expires
            return false
        }
    }

    /// Takes leases back that have run out; returns whether there were any.
    mutating func reclaim(now: Instant) -> Bool {
        guard now >= nextExpiry else { return false }
        let expired = entries.filter { $0.value.expires.map { $0 <= now } ?? false }.keys.sorted {
            $0.sequence < $1.sequence
        }
        for lease in expired { _ = putBack(lease, attempts: nil) }
        nextExpiry = entries.values.compactMap(\.expires).min() ?? .distantFuture
        return !expired.isEmpty
    }

    /// Puts a leased message back into stock; false if the lease is lost.
    mutating func putBack(_ lease: Lease, attempts: AttemptRecord?) -> Bool {
        guard let entry = leased(lease) else { return false }
        entries[lease] = nil
        var back = entry
        back.message = LeasedMessage(
            lease: lease, message: entry.message.message, attempts: attempts ?? entry.message.attempts,
            generation: entry.message.generation, enqueued: entry.message.enqueued)
        stock(back)
        return true
    }

    /// Whether the lease is held; its envelope and the record it was taken with.
    func held(_ lease: Lease) -> (envelope: Envelope, message: LeasedMessage)? {
        leased(lease).map { ($0.envelope, $0.message) }
    }

    /// Removes a leased message; false if the lease is lost.
    mutating func remove(_ lease: Lease) -> Bool {
        guard let entry = leased(lease) else { return false }
        entries[lease] = nil
        bytes -= entry.envelope.member.count
        return true
    }

    /// Removes messages that nobody works on, up to `limit` of them or until they exceed `bytes`.
    mutating func drain(limit: Int, bytes room: Int) -> [(envelope: Envelope, message: LeasedMessage)] {
        var drained: [(envelope: Envelope, message: LeasedMessage)] = []
        var size = 0
        while drained.count < limit, size < room, let message = stock.take(limit: 1, excluding: []).first {
            guard let entry = entries.removeValue(forKey: message.lease) else { continue }
            size += entry.envelope.member.count
            drained.append((entry.envelope, entry.message))
        }
        bytes -= size
        return drained
    }

    private func leased(_ lease: Lease) -> Entry? {
        guard let entry = entries[lease], entry.expires != nil else { return nil }
        return entry
    }

    /// Puts an entry into stock under a lease that nobody has seen.
    private mutating func stock(_ entry: Entry) {
        lastToken += 1
        let old = entry.message
        let message = LeasedMessage(
            lease: Lease(sequence: old.lease.sequence, token: lastToken), message: old.message, attempts: old.attempts,
            generation: old.generation, enqueued: old.enqueued)
        entries[message.lease] = Entry(message: message, envelope: entry.envelope, expires: nil)
        stock.insert(message)
    }

    // MARK: Looking

    mutating func hasStock(excluding targets: Set<String>) -> Bool { stock.hasMessage(excluding: targets) }

    /// When the next lease may run out; nil if none is held.
    var nextLook: Instant? { nextExpiry == .distantFuture ? nil : nextExpiry }

    /// Messages in stock and under lease.
    var depth: QueueDepthInMemory {
        QueueDepthInMemory(
            ready: stock.count, leased: entries.count - stock.count,
            earliestDeadline: entries.values.lazy.filter { $0.expires == nil }.map(\.message.message.deadline).min())
    }
}

/// What a `ChannelTable` holds.
struct QueueDepthInMemory: Hashable {
    let ready: Int
    let leased: Int
    let earliestDeadline: Instant?
}
