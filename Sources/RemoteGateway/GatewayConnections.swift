import AsyncHTTPClient
public import Basics
public import NIOCore
import NIOPosix

/// The connections to remote gateways that share TLS settings and limits. Queues that go to one gateway share one of these.
///
/// HTTP/2 is used where the server offers it over TLS, else HTTP/1.1 with one connection for each request in flight. Neither
/// redirects nor silent repetitions: what becomes of a request that did not arrive is for its retry policy to decide.
public final class GatewayConnections: Sendable {
    /// How connections are made and kept.
    public struct Configuration: Sendable {
        /// The most HTTP/1.1 connections to one gateway: the concurrency of all queues that go there.
        public var maximumConnections = 1000
        /// Longest time to open a connection, the TLS handshake included.
        public var connectTimeout = TimeSpan.seconds(10)
        /// How long an idle connection is kept. Below the 5 s after which uvicorn, the server of many gateways and engines,
        /// closes it, so that few requests meet a connection that is just being closed.
        public var idleTimeout = TimeSpan.seconds(4)
        /// Whether HTTP/2 may be used.
        public var allowsHTTP2 = true
        /// TLS settings.
        public var security = GatewaySecurity()

        /// Creates the defaults.
        public init() {}
    }

    /// A capacity feed that is silent for so long is taken for dead: three times the interval in which gateways send at least
    /// something.
    static let feedSilence = TimeSpan.seconds(15)

    let client: HTTPClient
    /// For capacity feeds, which are few and stay open: apart, so that they take no connection from requests.
    let feedClient: HTTPClient

    /// Reads the files that the TLS settings name; opens nothing yet.
    ///
    /// - Parameter group: where connections live; nil shares the process's own threads.
    public init(
        _ configuration: Configuration = .init(), group: (any EventLoopGroup)? = nil
    ) throws(RemoteGatewayError) {
        var settings = HTTPClient.Configuration(redirectConfiguration: .disallow)
        settings.tlsConfiguration = try configuration.security.configuration()
        settings.timeout.connect = .nanoseconds(configuration.connectTimeout.nanoseconds)
        settings.connectionPool.idleTimeout = .nanoseconds(configuration.idleTimeout.nanoseconds)
        settings.connectionPool.retryConnectionEstablishment = false
        settings.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = max(1, configuration.maximumConnections)
        settings.httpVersion = configuration.allowsHTTP2 ? .automatic : .http1Only
        let provider = group.map { HTTPClient.EventLoopGroupProvider.shared($0) } ?? .singleton
        client = HTTPClient(eventLoopGroupProvider: provider, configuration: settings)
        settings.timeout.read = .nanoseconds(Self.feedSilence.nanoseconds)
        feedClient = HTTPClient(eventLoopGroupProvider: provider, configuration: settings)
    }

    /// Closes all connections; requests under way end as failed. To be called once, before the object is let go.
    public func close() async {
        // A second close is the only fault there can be, and does no harm.
        try? await client.shutdown()
        try? await feedClient.shutdown()
    }
}
