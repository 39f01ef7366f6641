import Basics
import NIOCore
import NIOHTTP1
import NIOPosix

/// The connections of one event loop to all endpoints. Client and upstream share the loop, so bytes never change threads.
final class UpstreamPool {
    /// Kept per endpoint; more are closed when their answers end.
    private static let maxIdlePerEndpoint = 1024

    private let eventLoop: any EventLoop
    private let connectTimeout: TimeSpan
    private let idleTimeout: TimeSpan
    private var idle: [UpstreamEndpoint: [UpstreamConnection]] = [:]

    init(eventLoop: any EventLoop, connectTimeout: TimeSpan, idleTimeout: TimeSpan) {
        self.eventLoop = eventLoop
        self.connectTimeout = connectTimeout
        self.idleTimeout = idleTimeout
    }

    var idleCount: Int { idle.values.reduce(0) { $0 + $1.count } }

    /// Takes the kept connection that was used last, which is the least likely to be stale.
    func takeIdle(to endpoint: UpstreamEndpoint) -> UpstreamConnection? {
        while let connection = idle[endpoint]?.popLast() {
            if connection.isOpen { return connection }
        }
        return nil
    }

    /// Opens a connection.
    func connect(to endpoint: UpstreamEndpoint, _ completion: @escaping (UpstreamConnection?) -> Void) {
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        let bootstrap = ClientBootstrap(group: eventLoop)
            .connectTimeout(connectTimeout.timeAmount)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelOption(.socketOption(.so_keepalive), value: 1)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let pipeline = channel.pipeline.syncOperations
                    var framing = HTTPRequestEncoder.Configuration()
                    framing.automaticallySetFramingHeaders = false
                    try pipeline.addHandler(HTTPRequestEncoder(configuration: framing))
                    try pipeline.addHandler(ByteToMessageHandler(HTTPResponseDecoder()))
                    try pipeline.addHandler(UpstreamConnection(endpoint: endpoint, pool: bound.value))
                }
            }
        let connecting =
            if let address = endpoint.address {
                bootstrap.connect(to: address)
            } else {
                bootstrap.connect(host: endpoint.host, port: endpoint.port)
            }
        connecting.hop(to: eventLoop).assumeIsolated().whenComplete { result in
            switch result {
            case .success(let channel):
                completion(try? channel.pipeline.syncOperations.handler(type: UpstreamConnection.self))
            case .failure: completion(nil)
            }
        }
    }

    /// Keeps a connection whose answer has ended.
    func putBack(_ connection: UpstreamConnection) {
        guard connection.isOpen, idle[connection.endpoint, default: []].count < Self.maxIdlePerEndpoint else {
            connection.close()
            return
        }
        connection.idleSince = GatewayClock.now()
        idle[connection.endpoint, default: []].append(connection)
    }

    /// A connection has closed.
    func forget(_ connection: UpstreamConnection) {
        guard let index = idle[connection.endpoint]?.firstIndex(where: { $0 === connection }) else { return }
        idle[connection.endpoint]?.remove(at: index)
    }

    /// Closes connections that have not been used for long.
    func sweep(now: Instant) {
        for endpoint in Array(idle.keys) {
            let connections = idle[endpoint] ?? []
            // Appended as they are put back, so the longest idle come first.
            let stale = connections.prefix { now - $0.idleSince > idleTimeout }
            guard !stale.isEmpty else { continue }
            idle[endpoint]?.removeFirst(stale.count)
            for connection in stale { connection.close() }
        }
    }

    func closeAll() {
        let connections = idle.values.flatMap(\.self)
        idle = [:]
        for connection in connections { connection.close() }
    }
}
