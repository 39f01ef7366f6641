import Basics
import NIOCore
import Synchronization

/// What the connections and requests of one event loop share; used on that loop only.
final class LoopContext {
    /// Time limits are checked this often rather than by a timer for each request: a timer costs about as much as
    /// reading a request does.
    static let sweepInterval = TimeSpan.milliseconds(100)

    let eventLoop: any EventLoop
    let core: GatewayCore
    let upstreams: UpstreamPool
    private var connections: [ObjectIdentifier: ClientConnection] = [:]
    private var exchanges: [UInt64: Exchange] = [:]
    private var requestIDs: RequestIDMaker
    private var sweeper: RepeatedTask?

    init(eventLoop: any EventLoop, core: GatewayCore) {
        self.eventLoop = eventLoop
        self.core = core
        requestIDs = RequestIDMaker(seed: .random(in: .min ... .max))
        upstreams = UpstreamPool(
            eventLoop: eventLoop, endpointCount: core.endpointCount, connectTimeout: core.limits.connectTimeout,
            idleTimeout: core.limits.upstreamIdle)
    }

    func start() {
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        let interval = Self.sweepInterval.timeAmount
        sweeper = eventLoop.scheduleRepeatedTask(initialDelay: interval, delay: interval) { _ in bound.value.sweep() }
    }

    func makeRequestID() -> String { requestIDs.next() }

    func add(_ connection: ClientConnection) { connections[ObjectIdentifier(connection)] = connection }
    func remove(_ connection: ClientConnection) { connections[ObjectIdentifier(connection)] = nil }
    func add(_ exchange: Exchange) { exchanges[exchange.id] = exchange }
    func remove(_ exchange: Exchange) { exchanges[exchange.id] = nil }
    func exchange(_ id: UInt64) -> Exchange? { exchanges[id] }

    private func sweep() {
        let now = GatewayClock.now()
        for exchange in exchanges.values { exchange.checkTime(now: now) }
        for connection in connections.values { connection.checkTime(now: now) }
        upstreams.sweep(now: now)
    }

    /// The gateway has begun to drain: connections that serve nobody close now, the others after their answer.
    func beginDrain() {
        for connection in connections.values { connection.beginDrain() }
    }

    /// The drain's time is over: ends what still runs.
    func endExchanges() {
        for exchange in exchanges.values { exchange.abandon(.drained) }
        for connection in connections.values { connection.endDrain() }
    }

    /// Closes everything.
    func stop() {
        sweeper?.cancel()
        endExchanges()
        for connection in connections.values { connection.close() }
        upstreams.closeAll()
    }
}
