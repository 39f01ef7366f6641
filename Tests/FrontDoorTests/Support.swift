import Basics
import Delivery
import EmbeddedQueue
import Foundation
import FrontDoor
import Gateway
import MessageQueues
import Pool
import Synchronization
import Testing

/// A gateway with a front door before a real queue, whose consumer the test plays, and one real-time model server.
struct TestDoor: Sendable {
    let gateway: Gateway
    let frontDoor: FrontDoor
    let queue: EmbeddedQueue
    let queuePath: String
    let upstream: TestUpstream
    let observer: RecordingObserver

    struct Options {
        var tenants: [Tenant] = []
        var settings = FrontDoorSettings()
        var callersAreTrusted = false
        var acceptsTenantHeader = false
        var hasQueue = true
        var clock: any DeliveryClock = SystemClock()
        var limits = GatewayLimits()
        var queue: (inout EmbeddedQueue.Configuration) -> Void = { _ in }
        var failures: @Sendable (any Error, String) -> Void = { _, _ in }
    }

    static func with(
        _ change: (inout Options) -> Void = { _ in }, _ body: @Sendable (TestDoor) async throws -> Void
    ) async throws {
        var options = Options()
        change(&options)
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("weir-door-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer {
            // The queue may still be closing; its files that go meanwhile make a removal fail half way.
            for _ in 0..<100 where FileManager.default.fileExists(atPath: folder.path) {
                try? FileManager.default.removeItem(at: folder)
            }
        }
        var queueConfiguration = EmbeddedQueue.Configuration(path: folder.appendingPathComponent("queue.db").path)
        // The tests end processes, not machines.
        queueConfiguration.flushesForPowerLoss = false
        options.queue(&queueConfiguration)
        let queue = try EmbeddedQueue(queueConfiguration, role: .consumer)
        let frontDoor = FrontDoor(
            queue: queue, settings: options.settings, clock: options.clock,
            webhookIsAllowed: { $0.hasPrefix("https://allowed.example/") }, onFailure: options.failures)
        let upstream = try await TestUpstream.start()
        let observer = RecordingObserver()
        let gateway = try await Gateway.start(
            configuration(options, port: upstream.port), observer: observer,
            requestHandler: options.hasQueue ? frontDoor : nil)
        let door = TestDoor(
            gateway: gateway, frontDoor: frontDoor, queue: queue, queuePath: queueConfiguration.path,
            upstream: upstream, observer: observer)
        let outcome: Result<Void, any Error>
        do {
            outcome = .success(try await body(door))
        } catch {
            outcome = .failure(error)
        }
        await gateway.shutdown()
        try await upstream.stop()
        try queue.close()
        try outcome.get()
    }

    private static func configuration(_ options: Options, port: Int) -> GatewayConfiguration {
        let speed = StepTimeModel(
            baseMilliseconds: 5, perDecodeMilliseconds: 0.05, perContextTokenMilliseconds: 0.0001,
            perPrefillTokenMilliseconds: 0.02)
        let capacity = EndpointCapacity(stepTime: speed, kvTokens: nil, maxConcurrentRequests: 100)
        let pool = GatewayPool(
            name: "pool", models: ["m"],
            endpoints: [GatewayEndpoint(host: "127.0.0.1", port: port, metrics: .none, capacity: capacity)])
        var configuration = GatewayConfiguration(port: 0, threads: 1, limits: options.limits, pools: [pool])
        configuration.tenants = options.tenants
        configuration.acceptsTenantHeader = options.acceptsTenantHeader
        if !options.callersAreTrusted { configuration.trustedCallers = [] }
        return configuration
    }

    // MARK: The client

    func connect() async throws -> TestClient { try await TestClient.connect(port: gateway.boundPort) }

    /// Sends a request on a connection of its own and reads the answer.
    func send(
        _ method: String, _ target: String, _ headers: [String] = [], body: String? = nil
    ) async throws -> TestClient.Response {
        let client = try await connect()
        defer { client.close() }
        client.send(method, target, headers, body: body)
        return try #require(await client.readResponse(to: method))
    }

    /// Submits a request with a mode.
    func submit(
        _ mode: String = "enqueue", _ headers: [String] = [], body: String = chat
    ) async throws -> TestClient.Response {
        try await send("POST", "/v1/chat/completions", ["X-Weir-Mode: \(mode)"] + headers, body: body)
    }

    /// Enqueues a request and returns its id.
    func enqueue(_ headers: [String] = [], body: String = chat) async throws -> String {
        let response = try await submit("enqueue", headers, body: body)
        #expect(response.status == 202, "\(response.body)")
        return try #require(response.headers["x-weir-request-id"])
    }

    // MARK: The consumer

    /// Takes the next message, once there is one.
    func lease() async throws -> LeasedMessage {
        while true {
            try await queue.waitUntilReady(excluding: [])
            let leased = try await queue.lease(limit: 1, duration: .seconds(60), excluding: [])
            if let first = leased.first { return first }
        }
    }

    /// Ends a message as a processor does.
    func finish(_ leased: LeasedMessage, _ change: (inout InferenceResult) -> Void = { _ in }) async throws {
        var attempts = leased.attempts
        attempts.dispatches = 1
        var result = InferenceResult(
            for: leased, queue: "test", attempts: attempts, finished: SystemClock().now())
        result.statusCode = 200
        result.payload = Array(#"{"choices":[]}"#.utf8)
        result.contentType = "application/json"
        change(&result)
        #expect(try await queue.complete(leased.lease, with: result))
    }
}

/// The smallest body that names the model.
let chat = #"{"model":"m","messages":[]}"#

/// Keeps what a gateway tells, for tests to await.
final class RecordingObserver: GatewayObserver {
    let records = Mailbox<RequestRecord>()

    func requestEnded(_ record: RequestRecord) { records.put(record) }
}

/// A clock on which every pause is over at once.
struct ImpatientClock: DeliveryClock {
    func now() -> Instant { SystemClock().now() }
    func steady() -> Instant { SystemClock().steady() }
    func sleep(for span: TimeSpan) async throws {}
}

/// Hands values from callbacks to a test that awaits them, in order.
final class Mailbox<Value: Sendable>: Sendable {
    private struct State {
        var values: [Value] = []
        var waiters: [CheckedContinuation<Value, Never>] = []
    }

    private let state = Mutex(State())

    func put(_ value: Value) {
        let waiter = state.withLock { state -> CheckedContinuation<Value, Never>? in
            guard state.waiters.isEmpty else { return state.waiters.removeFirst() }
            state.values.append(value)
            return nil
        }
        waiter?.resume(returning: value)
    }

    func next() async -> Value {
        await withCheckedContinuation { continuation in
            let value = state.withLock { state -> Value? in
                if !state.values.isEmpty { return state.values.removeFirst() }
                state.waiters.append(continuation)
                return nil
            }
            if let value { continuation.resume(returning: value) }
        }
    }

    var count: Int { state.withLock { $0.values.count } }
}
