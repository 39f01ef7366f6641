import Basics
import Delivery
import EmbeddedQueue
import MessageQueues
import Synchronization

/// A real queue that says when leases have been extended, and of which every other write fails if it is asked to.
final class ObservedQueue: MessageQueue {
    /// Counts the extensions that have reached the file.
    let extensions = ChangeSignal()
    private let queue: EmbeddedQueue
    private let failsEveryOtherWrite: Bool
    private let calls = Mutex(0)

    init(_ queue: EmbeddedQueue, failsEveryOtherWrite: Bool = false) {
        self.queue = queue
        self.failsEveryOtherWrite = failsEveryOtherWrite
    }

    private func stumble() throws {
        let fails = calls.withLock { calls in
            calls += 1
            return failsEveryOtherWrite && !calls.isMultiple(of: 2)
        }
        if fails { throw MessageQueueError.locked(place: "here") }
    }

    func enqueue(_ messages: [InferenceMessage]) async throws -> [EnqueueReceipt] {
        try stumble()
        return try await queue.enqueue(messages)
    }

    func lease(limit: Int, duration: TimeSpan) async throws -> [LeasedMessage] {
        try stumble()
        return try await queue.lease(limit: limit, duration: duration)
    }

    func extend(_ leases: [Lease], duration: TimeSpan) async throws -> [Lease] {
        try stumble()
        defer { extensions.notify() }
        return try await queue.extend(leases, duration: duration)
    }

    func release(_ lease: Lease, attempts: AttemptRecord, readyAt: Instant) async throws -> Bool {
        try stumble()
        return try await queue.release(lease, attempts: attempts, readyAt: readyAt)
    }

    func complete(_ lease: Lease, with result: InferenceResult) async throws -> Bool {
        try stumble()
        return try await queue.complete(lease, with: result)
    }

    func waitUntilReady() async throws { try await queue.waitUntilReady() }

    func results(after cursor: Int64, limit: Int) async throws -> [StoredResult] {
        try await queue.results(after: cursor, limit: limit)
    }

    func waitForResults(after cursor: Int64) async throws { try await queue.waitForResults(after: cursor) }

    func depth() async throws -> QueueDepth { try await queue.depth() }
}
