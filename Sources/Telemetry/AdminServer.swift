import HTTPTypes
import Hummingbird
import HummingbirdCore
public import Logging
import NIOCore
import NIOPosix
public import ServiceLifecycle

/// The admin listener: `/healthz`, `/readyz`, `/metrics`, `/status.json` and the status page at `/`.
///
/// It runs on a thread of its own, so that probes are answered while the data plane is busy, and answers until it is shut
/// down: put it before the data plane in the order of services, so that it goes last.
public struct AdminServer: Service {
    /// Most connections at once; further ones wait to be accepted.
    private static let connectionLimit = 256

    private let host: String
    private let port: Int
    private let registry: MetricsRegistry
    private let readiness: @Sendable () -> ReadinessReport
    private let status: @Sendable () -> StatusSnapshot
    private let onListening: @Sendable (Int) -> Void
    private let answersProbesOnly: Bool
    private let logger: Logger

    /// Creates a server; it listens once `run()` is called.
    ///
    /// - Parameters:
    ///   - host: name or address to bind.
    ///   - port: port to bind; 0 takes a free one.
    ///   - registry: what `/metrics` shows.
    ///   - readiness: asked by each `/readyz`.
    ///   - status: asked by each `/status.json`.
    ///   - answersProbesOnly: whether there are `/healthz` and `/readyz` alone.
    ///   - logger: for the listener's own messages.
    ///   - onListening: told the bound port once connections are accepted.
    public init(
        host: String, port: Int, registry: MetricsRegistry, readiness: @escaping @Sendable () -> ReadinessReport,
        status: @escaping @Sendable () -> StatusSnapshot, answersProbesOnly: Bool = false, logger: Logger,
        onListening: @escaping @Sendable (Int) -> Void = { _ in }
    ) {
        self.host = host
        self.port = port
        self.registry = registry
        self.readiness = readiness
        self.status = status
        self.answersProbesOnly = answersProbesOnly
        self.logger = logger
        self.onListening = onListening
    }

    /// Listens until graceful shutdown or cancellation.
    ///
    /// - Throws: the system's error if the address cannot be bound.
    public func run() async throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let application = Application(
            router: router,
            server: .http1(configuration: .init(idleTimeout: .seconds(60))),
            configuration: .init(
                address: .hostname(host, port: port),
                availableConnectionsDelegate: MaximumAvailableConnections(Self.connectionLimit)),
            onServerRunning: { [port, onListening] channel in onListening(channel.localAddress?.port ?? port) },
            eventLoopGroupProvider: .shared(group),
            logger: logger)
        do {
            try await application.run()
        } catch {
            try? await group.shutdownGracefully()
            throw error
        }
        try await group.shutdownGracefully()
    }

    private var router: Router<BasicRequestContext> {
        let router = Router(options: .autoGenerateHeadEndpoints)
        router.get("/healthz") { _, _ in Self.answer(.ok, "text/plain; charset=utf-8", Array("ok\n".utf8)) }
        router.get("/readyz") { [readiness] _, _ in
            let report = readiness()
            return Self.answer(report.isReady ? .ok : .serviceUnavailable, "application/json", report.json())
        }
        if answersProbesOnly { return router }
        router.get("/metrics") { [registry] _, _ in
            Self.answer(.ok, ExpositionText.contentType, registry.render())
        }
        router.get("/status.json") { [status] _, _ in Self.answer(.ok, "application/json", status().json()) }
        router.get("/") { _, _ in Self.answer(.ok, "text/html; charset=utf-8", Array(StatusPage.html.utf8)) }
        return router
    }

    private static func answer(_ status: HTTPResponse.Status, _ contentType: String, _ body: [UInt8]) -> Response {
        var fields = HTTPFields()
        fields[.contentType] = contentType
        fields[.cacheControl] = "no-store"
        fields[.contentSecurityPolicy] = StatusPage.contentSecurityPolicy
        fields[.xContentTypeOptions] = "nosniff"
        return Response(status: status, headers: fields, body: ResponseBody(byteBuffer: ByteBuffer(bytes: body)))
    }
}
