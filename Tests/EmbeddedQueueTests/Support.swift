import Basics
import Delivery
import EmbeddedQueue
import Foundation
import MessageQueues
import Synchronization

/// A clock that stands still until it is moved.
final class ManualClock: DeliveryClock {
    private let time = Mutex(Instant(seconds: 1_800_000_000))

    func now() -> Instant { time.withLock { $0 } }

    func sleep(until instant: Instant) async throws {
        while now() < instant { try await Task.sleep(for: .milliseconds(1)) }
    }

    func advance(_ span: TimeSpan) { time.withLock { $0 = $0 + span } }
}

/// A directory that is removed with its last reference, and queues in it.
final class QueueDirectory: Sendable {
    let url: URL
    let clock = ManualClock()

    init() throws {
        url = FileManager.default.temporaryDirectory.appendingPathComponent("weir-queue-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(at: url) }

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

    func message(_ id: String, window: TimeSpan = .seconds(3600), body: String = "{}") -> InferenceMessage {
        InferenceMessage(
            id: id, created: clock.now(), deadline: clock.now() + window, path: "/v1/completions",
            payload: Array(body.utf8), model: "llama", headers: ["x-a": "b"], metadata: ["k": id])
    }

    func result(_ leased: LeasedMessage, status: Int = 200) -> InferenceResult {
        var result = InferenceResult(for: leased.message, attempts: leased.attempts, finished: clock.now())
        result.statusCode = status
        result.payload = Array("answer".utf8)
        return result
    }
}

extension EmbeddedQueue {
    func leaseIDs(_ limit: Int = 100) async throws -> [String] {
        try await lease(limit: limit, duration: .seconds(30)).map(\.message.id)
    }
}
