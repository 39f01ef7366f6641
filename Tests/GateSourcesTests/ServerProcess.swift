import Foundation
import Synchronization
import TestProcesses
import Testing

/// A real server program that a test starts, ends, and may start again on the same port.
final class ServerProcess: Sendable {
    let port: Int
    /// A folder of its own, removed with it.
    let folder: URL
    private let program: String
    private let arguments: [String]
    /// What it prints when it can be used.
    private let readyText: String
    private let process = Mutex<ChildProcess?>(nil)

    init(_ program: String, port: Int, folder: URL, readyText: String, _ arguments: [String]) {
        self.program = program
        self.port = port
        self.folder = folder
        self.readyText = readyText
        self.arguments = arguments
    }

    deinit {
        kill()
        try? FileManager.default.removeItem(at: folder)
    }

    /// Returns once it can be used.
    func start() async throws {
        let process = try ChildProcess(program, arguments, in: folder.path)
        self.process.withLock { $0 = process }
        try await process.said(readyText)
    }

    /// Ends it as `kill -9` does, and returns when it has ended.
    func kill() {
        process.withLock { $0 }?.kill()
    }

    static func makeFolder() throws -> URL {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("gate-sources-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        return folder
    }
}

extension ServerProcess {
    static let redisProgram = "/usr/bin/redis-server"
    static let prometheusProgram = "/usr/bin/prometheus"

    static func has(_ program: String) -> Bool { FileManager.default.isExecutableFile(atPath: program) }

    /// A redis-server that keeps nothing on disk.
    static func redis(_ arguments: [String] = []) async throws -> ServerProcess {
        let port = try await freePort()
        let server = ServerProcess(
            redisProgram, port: port, folder: try makeFolder(), readyText: "Ready to accept connections",
            ["--port", "\(port)", "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"] + arguments)
        try await server.start()
        return server
    }

    /// A Prometheus that scrapes `target` (host:port) five times a second.
    ///
    /// - Parameter webConfiguration: the file that sets up TLS and logins, if any.
    static func prometheus(scraping target: String, webConfiguration: String? = nil) async throws -> ServerProcess {
        let port = try await freePort()
        let folder = try makeFolder()
        try """
        global: {scrape_interval: 200ms, scrape_timeout: 200ms}
        scrape_configs:
          - job_name: pool
            static_configs: [{targets: ["\(target)"]}]
        """.write(to: folder.appendingPathComponent("prometheus.yml"), atomically: true, encoding: .utf8)
        var arguments = [
            "--config.file=prometheus.yml", "--web.listen-address=127.0.0.1:\(port)", "--storage.tsdb.path=data",
        ]
        if let webConfiguration { arguments.append("--web.config.file=\(webConfiguration)") }
        let server = ServerProcess(
            prometheusProgram, port: port, folder: folder, readyText: "Server is ready to receive web requests",
            arguments)
        try await server.start()
        return server
    }
}

extension Trait where Self == ConditionTrait {
    /// Skips a test where redis-server is not installed.
    static var needsRedis: Self {
        .enabled(
            if: ServerProcess.has(ServerProcess.redisProgram),
            "redis-server is not installed; `apt-get install redis-server` brings it")
    }

    /// Skips a test where Prometheus is not installed.
    static var needsPrometheus: Self {
        .enabled(
            if: ServerProcess.has(ServerProcess.prometheusProgram),
            "prometheus is not installed; `apt-get install prometheus` brings it")
    }
}
