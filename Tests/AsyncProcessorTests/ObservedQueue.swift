import Basics
import Delivery
import EmbeddedQueue
import MessageQueues
import Synchronization

/// A real queue with an onlooker, who may refuse a call, or end the process before or after it.
final class ObservedQueue: MessageQueue {
    /// A call that changes the queue.
    enum Call: Hashable, Sendable { case enqueue, lease, extend, release, complete }

    /// Counts the extensions that have been tried.
    let extensions = ChangeSignal()
    private let queue: EmbeddedQueue
    private let before: @Sendable (Call) throws -> Void
    private let after: @Sendable (Call) -> Void

    init(
        _ queue: EmbeddedQueue, before: @escaping @Sendable (Call) throws -> Void = { _ in },
        after: @escaping @Sendable (Call) -> Void = { _ in }
    ) {
        self.queue = queue
        self.before = before
        self.after = after
    }

    private func observe<Value>(_ call: Call, _ body: () async throws -> Value) async throws -> Value {
        try before(call)
        let value = try await body()
        after(call)
        return value
    }

    func enqueue(_ messages: [InferenceMessage]) async throws -> [EnqueueReceipt] {
        try await observe(.enqueue) { try await queue.enqueue(messages) }
    }

    func lease(
        limit: Int, duration: TimeSpan, excluding targets: Set<String>
    ) async throws -> [LeasedMessage] {
        try await observe(.lease) { try await queue.lease(limit: limit, duration: duration, excluding: targets) }
    }

    func leaseOverdue(
        before instant: Instant, limit: Int, duration: TimeSpan
    ) async throws -> [LeasedMessage] {
        try await observe(.lease) { try await queue.leaseOverdue(before: instant, limit: limit, duration: duration) }
    }

    func extend(_ leases: [Lease], duration: TimeSpan) async throws -> [Lease] {
        defer { extensions.notify() }
        return try await observe(.extend) { try await queue.extend(leases, duration: duration) }
    }

    func release(_ lease: Lease, attempts: AttemptRecord, readyAt: Instant) async throws -> Bool {
        try await observe(.release) { try await queue.release(lease, attempts: attempts, readyAt: readyAt) }
    }

    func complete(_ lease: Lease, with result: InferenceResult) async throws -> Bool {
        try await observe(.complete) { try await queue.complete(lease, with: result) }
    }

    func waitUntilReady(excluding targets: Set<String>) async throws {
        try await queue.waitUntilReady(excluding: targets)
    }

    func nextCancellations() async throws -> [Lease] { try await queue.nextCancellations() }

    func results(after cursor: Int64, limit: Int) async throws -> [StoredResult] {
        try await queue.results(after: cursor, limit: limit)
    }

    func waitForResults(after cursor: Int64) async throws { try await queue.waitForResults(after: cursor) }

    func depth() async throws -> QueueDepth { try await queue.depth() }
}
