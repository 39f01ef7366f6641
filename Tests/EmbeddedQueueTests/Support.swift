import Basics
import Delivery
import EmbeddedQueue
import Foundation
import MessageQueues
import Synchronization

/// A clock that stands still until it is moved.
final class ManualClock: DeliveryClock {
    private let present = Mutex(DeliveryTime(wall: Instant(seconds: 1_800_000_000), steady: Instant(seconds: 500)))

    func now() -> Instant { present.withLock { $0.wall } }

    func steady() -> Instant { present.withLock { $0.steady } }

    func sleep(for span: TimeSpan) async throws {
        let end = steady() + span
        while steady() < end { try await Task.sleep(for: .milliseconds(1)) }
    }

    func advance(_ span: TimeSpan) {
        present.withLock { present in
            present.wall = present.wall + span
            present.steady = present.steady + span
        }
    }

    /// Somebody corrects the wall clock.
    func correct(by span: TimeSpan) { present.withLock { $0.wall = $0.wall + span } }
}

/// A directory that is removed with its last reference, and queues in it.
final class QueueDirectory: Sendable {
    let url: URL
    let clock = ManualClock()

    init() throws {
        url = FileManager.default.temporaryDirectory.appendingPathComponent("weir-queue-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    }

    deinit {
        // A queue may still be closing; its files that go meanwhile make a removal fail half way.
        for _ in 0..<100 where FileManager.default.fileExists(atPath: url.path) {
            try? FileManager.default.removeItem(at: url)
        }
    }

    var path: String { url.appendingPathComponent("queue.db").path }

    func open(
        _ role: EmbeddedQueue.Role = .consumer, _ change: (inout EmbeddedQueue.Configuration) -> Void = { _ in }
    ) throws -> EmbeddedQueue {
        var configuration = EmbeddedQueue.Configuration(path: path)
        configuration.clock = clock
        // The tests kill processes, not machines.
        configuration.flushesForPowerLoss = false
        change(&configuration)
        return try EmbeddedQueue(configuration, role: role)
    }

    func message(
        _ id: String, window: TimeSpan = .seconds(3600), body: String = "{}", model: String? = "llama",
        tenant: String = "", priority: Int = 0, webhook: String? = nil
    ) -> InferenceMessage {
        InferenceMessage(
            id: id, created: clock.now(), deadline: clock.now() + window, path: "/v1/completions",
            payload: Array(body.utf8), model: model, headers: ["x-a": "b"], metadata: ["k": id], tenant: tenant,
            priority: priority, webhook: webhook)
    }

    func result(_ leased: LeasedMessage, status: Int = 200) -> InferenceResult {
        var result = InferenceResult(for: leased, queue: "test", attempts: leased.attempts, finished: clock.now())
        result.statusCode = status
        result.payload = Array("answer".utf8)
        return result
    }

    /// The result of a message that is given up.
    func deadLetter(_ leased: LeasedMessage, reason: String = "gave up") -> InferenceResult {
        var result = InferenceResult(for: leased, queue: "test", attempts: leased.attempts, finished: clock.now())
        result.errorCode = .inferenceError
        result.errorMessage = reason
        result.isDeadLetter = true
        return result
    }
}

extension EmbeddedQueue {
    func lease(_ limit: Int = 100, excluding: Set<String> = []) async throws -> [LeasedMessage] {
        try await lease(limit: limit, duration: .seconds(30), excluding: excluding)
    }

    func leaseIDs(_ limit: Int = 100, excluding: Set<String> = []) async throws -> [String] {
        try await lease(limit, excluding: excluding).map(\.message.id)
    }

    /// Takes one message.
    func leaseOne() async throws -> LeasedMessage {
        guard let leased = try await lease(1).first else { throw NothingToLease() }
        return leased
    }
}

struct NothingToLease: Error {}
