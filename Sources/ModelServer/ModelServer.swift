import Basics
public import EngineModel
public import NIOCore
import NIOHTTP1
import NIOPosix

/// A pool of simulated model servers in this process, each on a port of its own.
///
/// Every server speaks vLLM's dialect of the OpenAI API and takes as long as its engine model says. `start` begins to
/// listen, `shutdown` must be called in the end.
public final class ModelServer: Sendable {
    /// What one server of the pool has done.
    public struct ReplicaStatistics: Hashable, Sendable {
        /// The port it listens on.
        public let port: Int
        /// What its engine carries.
        public let load: EngineLoad
        /// Connections open now.
        public let openConnections: Int
        /// Completion requests read so far.
        public let received: Int
        /// Those answered whole.
        public let finished: Int
        /// Those whose client left before the end.
        public let aborted: Int
        /// Those refused with an error of their own making, or because too many were waiting.
        public let refused: Int
        /// Those that an injected fault struck; a cut stream counts here and nowhere else.
        public let faulted: Int
    }

    private struct Running: Sendable {
        let port: Int
        let channel: any Channel
        let replica: NIOLoopBound<Replica>
    }

    private let replicas: [Running]

    /// The ports, one per server.
    public var ports: [Int] { replicas.map(\.port) }

    private init(replicas: [Running]) { self.replicas = replicas }

    /// Starts the servers.
    ///
    /// - Throws: `ModelServerError` for an impossible setting, an `IOError` if a port cannot be had; nothing is left
    ///   running then.
    public static func start(
        _ configuration: ModelServerConfiguration, group: any EventLoopGroup
    ) async throws -> ModelServer {
        try configuration.validate()
        var running: [Running] = []
        do {
            for number in 0..<configuration.replicas {
                running.append(try await startReplica(number, configuration, on: group.next()))
            }
        } catch {
            await ModelServer(replicas: running).shutdown()
            throw error
        }
        return ModelServer(replicas: running)
    }

    /// What each server has done, in the order of `ports`.
    public var statistics: [ReplicaStatistics] {
        get async throws {
            var statistics: [ReplicaStatistics] = []
            for running in replicas {
                let replica = running.replica
                let port = running.port
                statistics.append(
                    try await running.channel.eventLoop.submit { replica.value.statistics(port: port) }.get())
            }
            return statistics
        }
    }

    /// Changes the faults of one server, by its position in `ports`, or of all.
    public func setFaults(_ faults: FaultPlan, replica position: Int? = nil) async throws {
        for (number, running) in replicas.enumerated() where position == nil || position == number {
            let replica = running.replica
            try await running.channel.eventLoop.submit { replica.value.faults = faults }.get()
        }
    }

    /// Stops listening and closes all connections; answers under way break off.
    public func shutdown() async {
        for running in replicas {
            let replica = running.replica
            let loop = running.channel.eventLoop
            // A listener that is closed already is as good.
            try? await running.channel.close().get()
            try? await loop.flatSubmit { replica.value.closeConnections(on: loop) }.get()
        }
    }

    private static func startReplica(
        _ number: Int, _ configuration: ModelServerConfiguration, on loop: any EventLoop
    ) async throws -> Running {
        let replica = try await loop.submit {
            NIOLoopBound(Replica(configuration: configuration, number: number, loop: loop), eventLoop: loop)
        }.get()
        // Listener and connections on the replica's own loop: that is what confines it.
        let bootstrap = ServerBootstrap(group: loop)
            .serverChannelOption(.backlog, value: 4096)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.configureHTTPServerPipeline(withErrorHandling: true)
                    try channel.pipeline.syncOperations.addHandler(ConnectionHandler(replica: replica.value))
                }
            }
        let port = configuration.port == 0 ? 0 : configuration.port + number
        let channel = try await bootstrap.bind(host: configuration.host, port: port).get()
        return Running(port: channel.localAddress?.port ?? port, channel: channel, replica: replica)
    }
}

extension Replica {
    fileprivate func statistics(port: Int) -> ModelServer.ReplicaStatistics {
        ModelServer.ReplicaStatistics(
            port: port, load: load, openConnections: connections.count, received: counts.received,
            finished: counts.finished, aborted: counts.aborted, refused: counts.refused, faulted: counts.faulted)
    }

    fileprivate func closeConnections(on loop: any EventLoop) -> EventLoopFuture<Void> {
        let open = Array(connections.values)
        let closed = open.compactMap(\.closeFuture)
        for connection in open { connection.close() }
        return EventLoopFuture.andAllComplete(closed, on: loop)
    }
}
