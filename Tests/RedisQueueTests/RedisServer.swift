import Basics
import Delivery
import Foundation
import MessageQueues
import NIOCore
import NIOPosix
import RedisClient
import RedisQueue
import Synchronization
import TestProcesses
import Testing

/// Everything that needs a server: one after the other, because times are measured and the machine is small.
@Suite(.serialized) enum ServerTests {}

/// A redis-server of a test's own, on a free loopback port, with a directory for its log of writes.
final class RedisServer: Sendable {
    let port: Int
    private let directory: URL
    private let arguments: [String]
    private let process = Mutex<ChildProcess?>(nil)

    private init(port: Int, arguments: [String]) throws {
        self.port = port
        self.arguments = arguments
        directory = FileManager.default.temporaryDirectory.appendingPathComponent("weir-redis-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    }

    /// Starts a server, hands it to `body` and ends it.
    static func run(_ arguments: [String] = [], body: (RedisServer) async throws -> Void) async throws {
        let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .bind(host: "127.0.0.1", port: 0).get()
        let port = channel.localAddress?.port ?? 0
        try await channel.close()
        let server = try RedisServer(port: port, arguments: arguments)
        defer { server.remove() }
        try await server.start()
        try await body(server)
    }

    /// Starts the process and returns once it accepts connections.
    func start() async throws {
        let process = try ChildProcess(
            "redis-server",
            ["--port", "\(port)", "--bind", "127.0.0.1", "--save", "", "--dir", directory.path] + arguments)
        self.process.withLock { $0 = process }
        try await process.said("Ready to accept connections")
    }

    /// Ends the process at once.
    func kill() {
        process.withLock { $0 }?.kill()
    }

    /// Stops the process in its tracks, or lets it go on.
    func pause(_ isPaused: Bool) {
        process.withLock { $0 }?.signal(isPaused ? SIGSTOP : SIGCONT)
    }

    private func remove() {
        kill()
        try? FileManager.default.removeItem(at: directory)
    }

    struct StartFailure: Error { let output: String }

    /// Makes a client, hands it to `body` and closes it.
    func withClient(
        _ change: (inout RedisClient.Configuration) -> Void = { _ in }, body: (RedisClient) async throws -> Void
    ) async throws {
        var configuration = RedisClient.Configuration(address: RedisAddress(host: "127.0.0.1", port: port))
        change(&configuration)
        let client = RedisClient(configuration)
        do { try await body(client) } catch {
            await client.close()
            throw error
        }
        await client.close()
    }

    /// Runs `body` with a server, a client and a queue on it.
    static func withQueue(
        _ change: (inout RedisSortedSetQueue.Configuration) -> Void = { _ in },
        body: (RedisServer, RedisClient, RedisSortedSetQueue) async throws -> Void
    ) async throws {
        var configuration = RedisSortedSetQueue.Configuration()
        change(&configuration)
        try await run { server in
            try await server.withClient { client in
                let queue = RedisSortedSetQueue(client: client, configuration: configuration)
                try await body(server, client, queue)
                await queue.close()
            }
        }
    }
}

extension RedisClient {
    /// Sends a command as somebody would type it.
    @discardableResult
    func type(_ words: String...) async throws -> RESPValue {
        try await send(RedisCommand(words[0], words.dropFirst().map { .text($0) }))
    }

    /// The entries of a list, oldest first, as a consumer would pop them.
    func list(_ key: String) async throws -> [String] {
        try await type("LRANGE", key, "0", "-1").asArray?.compactMap(\.asString).reversed() ?? []
    }

    func members(_ key: String) async throws -> [String] {
        try await type("ZRANGE", key, "0", "-1").asArray?.compactMap(\.asString) ?? []
    }

    func count(_ key: String) async throws -> Int { Int(try await type("ZCARD", key).asInteger ?? -1) }
}

struct TimedOut: Error { let waitedFor: String }

/// Looks again and again until there is something; for what no event tells of.
@discardableResult
func eventually<Value>(
    _ what: String, within limit: Duration = .seconds(10), _ look: () async throws -> Value?
) async throws -> Value {
    let end = ContinuousClock.now + limit
    while ContinuousClock.now < end {
        if let value = try await look() { return value }
        try await Task.sleep(for: .milliseconds(5))
    }
    throw TimedOut(waitedFor: what)
}

/// The members of a JSON object.
func object(_ text: String) throws -> [String: Any] {
    try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any] ?? [:]
}

func unixNow() -> Int { Int(Date().timeIntervalSince1970) }

func message(
    _ id: String, window: Double = 3600, body: String = #"{"model":"llama"}"#, metadata: [String: String] = [:]
) -> InferenceMessage {
    let now = SystemClock().now()
    return InferenceMessage(
        id: id, created: now, deadline: now + .seconds(window), path: "/v1/chat/completions",
        payload: Array(body.utf8), metadata: metadata)
}

/// A body for `model` whose first `model` is another one, so that the server cannot tell its target.
func obscureBody(_ model: String) -> String { #"{"tool":{"model":"none"},"model":"\#(model)"}"# }

extension RedisSortedSetQueue {
    func take(_ limit: Int = 100, lease: Double = 15, excluding: Set<String> = []) async throws -> [LeasedMessage] {
        try await self.lease(limit: limit, duration: .seconds(lease), excluding: excluding)
    }

    /// Waits for messages and takes them.
    func receive(_ limit: Int = 100, lease: Double = 15, excluding: Set<String> = []) async throws -> [LeasedMessage] {
        try await eventually("a message") {
            let messages = try await take(limit, lease: lease, excluding: excluding)
            if messages.isEmpty { try await Task.sleep(for: .milliseconds(2)) }
            return messages.isEmpty ? nil : messages
        }
    }

    /// Completes with an answer of the model server.
    @discardableResult
    func answer(_ leased: LeasedMessage, _ body: String = "{}", status: Int = 200) async throws -> Bool {
        try await complete(leased.lease, with: result(leased, body, status: status))
    }

    func result(_ leased: LeasedMessage, _ body: String = "{}", status: Int = 200) -> InferenceResult {
        var attempts = leased.attempts
        attempts.dispatches += 1
        var result = InferenceResult(
            for: leased, queue: "request-sortedset", attempts: attempts, finished: SystemClock().now())
        result.statusCode = status
        result.payload = Array(body.utf8)
        result.contentType = "application/json"
        return result
    }
}

/// Counts from several tasks.
final class Counter: Sendable {
    private let value = Mutex(0)

    var count: Int { value.withLock { $0 } }

    func add() { value.withLock { $0 += 1 } }
}
