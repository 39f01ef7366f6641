import Basics
import Delivery
import EmbeddedQueue
import Foundation
import Logging
import MessageQueues
import Testing

@testable import Webhooks

/// What a poster tells its outbox.
enum OutboxEvent: Hashable, Sendable {
    case settled(Int64)
    case deferred(Int64, until: Instant, error: String)
}

/// The outbox of a real queue that shows what it is told, once it has taken it.
struct ObservedOutbox: WebhookOutbox {
    let queue: EmbeddedQueue
    let events = Mailbox<OutboxEvent>()

    func dueWebhooks(limit: Int) async throws -> [PendingWebhook] { try await queue.dueWebhooks(limit: limit) }

    func waitForWebhooks() async throws { try await queue.waitForWebhooks() }

    func settleWebhook(_ number: Int64) async throws {
        try await queue.settleWebhook(number)
        events.put(.settled(number))
    }

    func deferWebhook(_ number: Int64, until due: Instant, error: String, countsAsTry: Bool) async throws {
        try await queue.deferWebhook(number, until: due, error: error, countsAsTry: countsAsTry)
        events.put(.deferred(number, until: due, error: error))
    }
}

/// A queue file of its own, and finished requests in it.
final class PosterFixture: Sendable {
    static let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

    private let directory: URL

    init() throws {
        directory = FileManager.default.temporaryDirectory.appendingPathComponent("weir-webhooks-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    }

    deinit {
        // A queue may still be closing; its files that go meanwhile make a removal fail half way.
        for _ in 0..<100 where FileManager.default.fileExists(atPath: directory.path) {
            try? FileManager.default.removeItem(at: directory)
        }
    }

    func open() throws -> EmbeddedQueue {
        var configuration = EmbeddedQueue.Configuration(path: directory.appendingPathComponent("queue.db").path)
        configuration.flushesForPowerLoss = false
        return try EmbeddedQueue(configuration, role: .consumer)
    }

    /// Requests that finish at once, and whose results are to be posted to `url`; returns the results' lines by id.
    @discardableResult
    func finish(_ ids: [String], webhook url: String, in queue: EmbeddedQueue) async throws -> [String: [UInt8]] {
        let clock = SystemClock()
        let now = clock.now()
        _ = try await queue.enqueue(
            ids.map { id in
                InferenceMessage(
                    id: id, created: now, deadline: now + .seconds(3600), path: "/v1/completions",
                    payload: Array("{}".utf8), model: "m", tenant: "t", webhook: url)
            })
        for leased in try await queue.lease(limit: ids.count, duration: .seconds(60), excluding: []) {
            var result = InferenceResult(
                for: leased, queue: "default", attempts: leased.attempts, finished: clock.now())
            result.statusCode = 200
            result.payload = Array("answer".utf8)
            #expect(try await queue.complete(leased.lease, with: result))
        }
        var lines: [String: [UInt8]] = [:]
        for id in ids { lines[id] = try await queue.result(of: id, tenant: nil)?.line }
        return lines
    }

    /// A poster that may post to the receivers, with short pauses.
    func poster(
        of outbox: any WebhookOutbox, to receivers: [TestReceiver],
        _ change: (inout WebhookConfiguration) -> Void = { _ in }
    ) throws -> WebhookPoster {
        let prefixes = receivers.map {
            WebhookAllowList.Prefix(isSecure: false, host: "127.0.0.1", port: $0.port, path: "/hooks/")
        }
        var configuration = WebhookConfiguration(
            allowList: WebhookAllowList(prefixes), signer: try #require(WebhookSigner(secret: Self.secret)))
        configuration.firstPause = .milliseconds(10)
        configuration.longestPause = .milliseconds(50)
        change(&configuration)
        return WebhookPoster(
            outbox: outbox, configuration: configuration,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }
}

/// Runs a poster beside `body`, and stops it then.
func withRunning(_ poster: WebhookPoster, _ body: () async throws -> Void) async throws {
    let task = Task { await poster.run() }
    do {
        try await body()
    } catch {
        task.cancel()
        await task.value
        throw error
    }
    task.cancel()
    await task.value
}
