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
    /// Kept connections by the endpoint's number, in the order in which they were put back.
    private var idle: [[UpstreamConnection]]

    init(eventLoop: any EventLoop, endpointCount: Int, connectTimeout: TimeSpan, idleTimeout: TimeSpan) {
        idle = Array(repeating: [], count: endpointCount)
        self.eventLoop = eventLoop
        self.connectTimeout = connectTimeout
        self.idleTimeout = idleTimeout
    }

    /// Takes the kept connection that was used last, which is the least likely to be stale.
    func takeIdle(to endpoint: UpstreamEndpoint) -> UpstreamConnection? {
        while let connection = idle[endpoint.number].popLast() {
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
                    let writer = RequestWriter()
                    try pipeline.addHandler(writer)
                    try pipeline.addHandler(ByteToMessageHandler(HTTPResponseDecoder()))
                    try pipeline.addHandler(UpstreamConnection(endpoint: endpoint, pool: bound.value, writer: writer))
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
        let number = connection.endpoint.number
        guard connection.isOpen, idle[number].count < Self.maxIdlePerEndpoint else {
            connection.close()
            return
        }
        connection.idleSince = GatewayClock.now()
        idle[number].append(connection)
    }

    /// A connection has closed.
    func forget(_ connection: UpstreamConnection) {
        idle[connection.endpoint.number].removeAll { $0 === connection }
    }

    /// Closes connections that have not been used for long.
    func sweep(now: Instant) {
        for number in idle.indices {
            let stale = idle[number].prefix { now - $0.idleSince > idleTimeout }
            guard !stale.isEmpty else { continue }
            idle[number].removeFirst(stale.count)
            for connection in stale { connection.close() }
        }
    }

    func closeAll() {
        let connections = idle.flatMap(\.self)
        for number in idle.indices { idle[number] = [] }
        for connection in connections { connection.close() }
    }
}
