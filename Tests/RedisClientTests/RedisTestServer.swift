import Foundation
import NIOCore
import NIOPosix
import Synchronization
import TestProcesses
import Testing

@testable import RedisClient

/// A real redis-server on a free loopback port, with nothing stored on disk.
final class RedisTestServer: Sendable {
    let port: Int
    private let arguments: [String]
    private let process: Mutex<ChildProcess?>

    private init(port: Int, arguments: [String]) {
        self.port = port
        self.arguments = arguments
        process = Mutex(nil)
    }

    /// Starts a server, hands it to `body` and ends it.
    static func run<Result>(
        _ arguments: [String] = [], isTLS: Bool = false, body: (RedisTestServer) async throws -> Result
    ) async throws -> Result {
        let port = try await freePort()
        let place = isTLS ? ["--port", "0", "--tls-port", "\(port)"] : ["--port", "\(port)"]
        let server = RedisTestServer(port: port, arguments: place + arguments)
        try await server.start()
        defer { server.signal(SIGKILL) }
        return try await body(server)
    }

    /// Starts the process and returns once it accepts connections.
    func start() async throws {
        let process = try ChildProcess(
            "redis-server", arguments + ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"],
            in: FileManager.default.temporaryDirectory.path)
        self.process.withLock { $0 = process }
        try await process.said("Ready to accept connections")
    }

    /// Sends a signal to the server; after one that ends it, returns when it has ended.
    func signal(_ number: Int32) {
        guard let process = process.withLock({ $0 }) else { return }
        if number == SIGKILL { process.kill() } else { process.signal(number) }
    }

    var configuration: RedisClient.Configuration {
        RedisClient.Configuration(address: RedisAddress(host: "127.0.0.1", port: port))
    }

    /// Makes a client, hands it to `body` and closes it.
    func withClient<Result>(
        _ change: (inout RedisClient.Configuration) -> Void = { _ in }, body: (RedisClient) async throws -> Result
    ) async throws -> Result {
        var configuration = configuration
        change(&configuration)
        let client = RedisClient(configuration)
        let result: Swift.Result<Result, any Error>
        do { result = .success(try await body(client)) } catch { result = .failure(error) }
        await client.close()
        return try result.get()
    }

    struct StartFailure: Error { let output: String }

    /// A port that nobody listens on, outside the range from which outgoing connections take theirs.
    static func freePort() async throws -> Int {
        while true {
            let port = Int.random(in: 20_000..<32_000)
            let bootstrap = ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            if let channel = try? await bootstrap.bind(host: "127.0.0.1", port: port).get() {
                try await channel.close()
                return port
            }
        }
    }
}

/// Collects what callbacks report and lets a test wait for it.
final class Mailbox<Item: Sendable>: Sendable {
    private let stream: AsyncStream<Item>
    private let continuation: AsyncStream<Item>.Continuation

    init() { (stream, continuation) = AsyncStream.makeStream() }

    func post(_ item: Item) { continuation.yield(item) }

    /// The next item that `isWanted`; nil after ten seconds without.
    func next(where isWanted: @escaping @Sendable (Item) -> Bool = { _ in true }) async -> Item? {
        await withTaskGroup(of: Item?.self) { group in
            group.addTask { [stream] in
                for await item in stream where isWanted(item) { return item }
                return nil
            }
            group.addTask {
                try? await Task.sleep(for: .seconds(10))
                return nil
            }
            defer { group.cancelAll() }
            return await group.next() ?? nil
        }
    }
}

/// The error that `body` throws, if it throws one of this client.
func redisError<Result>(_ body: () async throws(RedisError) -> Result) async -> RedisError? {
    do {
        _ = try await body()
        return nil
    } catch {
        return error
    }
}

extension RedisClient {
    /// The error with which the command fails, if it fails.
    func failure(of command: RedisCommand) async -> RedisError? {
        await redisError { () async throws(RedisError) in try await self.send(command) }
    }
}
