import AsyncHTTPClient
import Basics
import Composition
import EngineModel
import Foundation
import Lab
import Logging
import ModelServer
import NIOCore
import NIOPosix
import Synchronization
import WeirConfiguration

/// Shows the whole product on one machine without a GPU: simulated model servers, the service, real sockets.
///
/// Three acts with the same real-time traffic: alone, with a bulk push of messages straight at the pool, and with the same
/// messages through the queue.
public struct Demo: Sendable {
    private static let model = "llama-8b"
    private let options: DemoOptions
    private let version: String
    private let write: @Sendable (String) -> Void

    /// Creates a demo that tells its story through `write`.
    public init(options: DemoOptions, version: String, write: @escaping @Sendable (String) -> Void) {
        self.options = options
        self.version = version
        self.write = write
    }

    /// Plays the three acts, writes table and report, and then, if asked to stay up, runs until `untilStopped` returns.
    ///
    /// - Throws: `ServiceError` if a port cannot be had, or the system's error for the report or the queue's file.
    public func run(untilStopped: @escaping @Sendable () async -> Void) async throws {
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent("weir-demo-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: directory) }
        let queuePath = directory.appendingPathComponent("queue.db").path
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        guard let engine = EngineConfiguration.preset(named: "llama-8b-h100") else {
            preconditionFailure("the demo's preset exists")
        }
        let servers = try await ModelServer.start(
            ModelServerConfiguration(
                engine: engine, models: [Self.model], replicas: options.servers, seed: options.seed),
            group: group)
        do {
            try await serve(servers.ports, queuePath: queuePath, untilStopped: untilStopped)
        } catch {
            await servers.shutdown()
            try? await group.shutdownGracefully()
            throw error
        }
        await servers.shutdown()
        try await group.shutdownGracefully()
    }

    private func serve(
        _ ports: [Int], queuePath: String, untilStopped: @escaping @Sendable () async -> Void
    ) async throws {
        var configuration = try Configuration.forEndpoints(
            ports.map { "http://127.0.0.1:\($0)" }, queuePath: queuePath)
        configuration.gateway.listen.port = FreePort.preferring(options.gatewayPort)
        configuration.admin.listen.port = FreePort.preferring(options.adminPort)
        configuration.gateway.drain.timeout = .seconds(2)
        let service = WeirService(configuration: configuration, version: version, logLevel: .error)
        let (starts, start) = AsyncStream.makeStream(of: WeirService.Started.self)
        let story = AsyncStream.makeStream(of: Void.self)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                try await service.run(
                    onReady: { start.yield($0) },
                    untilStopped: {
                        for await _ in story.stream {}
                    })
                start.finish()
            }
            group.addTask {
                defer { story.continuation.finish() }
                for await started in starts {
                    try await play(started, queuePath: queuePath)
                    write(whatToTryNext(started))
                    if options.staysUp { await untilStopped() }
                    return
                }
            }
            try await group.waitForAll()
        }
    }

    // MARK: The acts

    /// The demo's configuration has pools, so there is a gateway.
    private func url(of started: WeirService.Started) -> String { started.gatewayURL ?? "" }

    private func play(_ started: WeirService.Started, queuePath: String) async throws {
        write(
            "\(options.servers) simulated model servers (Llama 8B on an H100 each), one gateway: \(url(of: started))\n"
        )
        write("status page: \(started.adminURL)\n")
        let ledger = Ledger()
        var client = HTTPClient.Configuration()
        // Defaults meant for ordinary web clients: 8 connections per host, quiet retries of failed connects.
        client.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = 4096
        client.connectionPool.retryConnectionEstablishment = false
        client.redirectConfiguration = .disallow
        let http = HTTPClient(eventLoopGroupProvider: .singleton, configuration: client)
        do {
            for act in Act.allCases {
                write("\nAct \(act.rawValue + 1) of 3. \(act.introduction)\n")
                try await play(act, started: started, queuePath: queuePath, http: http, ledger: ledger)
            }
        } catch {
            try? await http.shutdown()
            throw error
        }
        try await http.shutdown()
        let table = SummaryTable(records: Act.allCases.map { ($0, ledger.record($0)) })
        write("\n\(table.text)\n\n\(SummaryTable.legend)\n")
        let report = DemoReport(table: table, servers: options.servers, seed: options.seed)
        try Data(report.html.utf8).write(to: URL(fileURLWithPath: options.reportPath))
        write("\nreport: \(URL(fileURLWithPath: options.reportPath).path)\n")
    }

    private func play(
        _ act: Act, started: WeirService.Started, queuePath: String, http: HTTPClient, ledger: Ledger
    ) async throws {
        let bodies = DemoTraffic.messages(options.messages, model: Self.model, seed: options.seed)
        let clients = RealtimeClients(
            client: http, gatewayURL: url(of: started), model: Self.model, requests: DemoTraffic.realtime(options),
            ledger: ledger)
        let display = LiveDisplay(isTerminal: options.isTerminal)
        let watcher = PoolWatcher(client: http, adminURL: started.adminURL, ledger: ledger)
        let isBatchDone = BatchFlag(isSet: act != .processor)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                await watcher.run(act) {
                    let frame = display.frame(act, ledger.record(act))
                    if !frame.isEmpty { write(frame) }
                }
            }
            try await withThrowingTaskGroup(of: Void.self) { work in
                work.addTask {
                    await clients.run(act, roundSeconds: options.actSeconds, repeatsUntil: { isBatchDone.isSet })
                }
                switch act {
                case .alone: break
                case .direct:
                    work.addTask {
                        await DirectPush(client: http, gatewayURL: url(of: started), ledger: ledger)
                            .run(bodies, perSecond: options.messagesPerSecond, act: act)
                    }
                case .processor:
                    work.addTask {
                        defer { isBatchDone.set() }
                        try await QueuePush(queuePath: queuePath, ledger: ledger)
                            .run(bodies, perSecond: options.messagesPerSecond, act: act)
                    }
                }
                try await work.waitForAll()
            }
            group.cancelAll()
            try await group.waitForAll()
        }
        write(display.finish())
    }

    private func whatToTryNext(_ started: WeirService.Started) -> String {
        let model = Self.model
        return """

            \(options.staysUp ? "The gateway is still running. Try it:" : "With --keep-running it stays up, and these work:")

              curl \(url(of: started))/v1/chat/completions -H 'content-type: application/json' \\
                -d '{"model":"\(model)","stream":true,"max_tokens":40,"messages":[{"role":"user","content":"Hello!"}]}'

              python3 -c 'from openai import OpenAI; weir = OpenAI(base_url="\(url(of: started))/v1", api_key="none"); \
            chat = weir.chat.completions.create(model="\(model)", max_tokens=40, \
            messages=[{"role": "user", "content": "Hello!"}]); print(chat.choices[0].message.content)'

            """
    }
}

/// A live view that the watcher's task draws and the act's ends.
private final class LiveDisplay: Sendable {
    private let view: Mutex<LiveView>

    init(isTerminal: Bool) { view = Mutex(LiveView(isTerminal: isTerminal)) }

    func frame(_ act: Act, _ record: ActRecord) -> String { view.withLock { $0.frame(act, record) } }

    func finish() -> String { view.withLock { $0.finish() } }
}

/// Whether the batch work of an act is done.
private final class BatchFlag: Sendable {
    private let flag: Atomic<Bool>

    init(isSet: Bool) { flag = Atomic(isSet) }

    var isSet: Bool { flag.load(ordering: .relaxed) }

    func set() { flag.store(true, ordering: .relaxed) }
}
