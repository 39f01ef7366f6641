import Basics
import Delivery

/// The leases that are out, judged on the steady time line.
///
/// The process that leases messages is alone at it (`ConsumerLock`), so what it knows in memory is the truth, and a
/// correction of the wall clock can neither end a lease nor prolong one.
struct LeaseTable: Hashable, Sendable {
    private struct Entry: Hashable, Sendable {
        let token: Int64
        var end: Instant
        let hasWebhook: Bool
        var isCancellationReported = false
    }

    private var entries: [Int64: Entry] = [:]
    /// No lease ends before this.
    private(set) var earliestEnd = Instant.distantFuture

    /// Leases that are out.
    var count: Int { entries.count }

    func holds(_ lease: Lease) -> Bool { entries[lease.sequence]?.token == lease.token }

    /// Whether somebody wants to be told of the result of a leased message; nil if the lease is lost.
    func hasWebhook(_ lease: Lease) -> Bool? {
        guard let entry = entries[lease.sequence], entry.token == lease.token else { return nil }
        return entry.hasWebhook
    }

    mutating func insert(_ lease: Lease, until end: Instant, hasWebhook: Bool) {
        entries[lease.sequence] = Entry(token: lease.token, end: end, hasWebhook: hasWebhook)
        earliestEnd = min(earliestEnd, end)
    }

    /// Returns false if the lease is lost.
    mutating func extend(_ lease: Lease, until end: Instant) -> Bool {
        guard holds(lease) else { return false }
        entries[lease.sequence]?.end = end
        earliestEnd = min(earliestEnd, end)
        return true
    }

    mutating func remove(_ sequence: Int64) {
        entries.removeValue(forKey: sequence)
        if entries.isEmpty { earliestEnd = .distantFuture }
    }

    /// Removes the leases that have run out; returns their messages in the order of submission.
    mutating func removeOverdue(now: Instant) -> [Int64] {
        guard earliestEnd <= now else { return [] }
        let overdue = entries.filter { $0.value.end <= now }.keys.sorted()
        for sequence in overdue { entries.removeValue(forKey: sequence) }
        earliestEnd = entries.values.lazy.map(\.end).min() ?? .distantFuture
        return overdue
    }

    /// The lease of a message, the first time that this is asked.
    mutating func reportCancellation(of sequence: Int64) -> Lease? {
        guard let entry = entries[sequence], !entry.isCancellationReported else { return nil }
        entries[sequence]?.isCancellationReported = true
        return Lease(sequence: sequence, token: entry.token)
    }
}
