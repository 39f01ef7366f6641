public import Basics
import NIOCore
import NIOPosix
import Synchronization

/// The HTTP data plane: a listener for clients, the pools' schedulers, and connections to the endpoints.
public final class Gateway: Sendable {
    /// Why a gateway did not start.
    public enum StartError: Error, Hashable, Sendable {
        /// The configuration has no pool, or a pool has no endpoint.
        case nothingToServe
    }

    /// The scheduler is told of the passing of time this often.
    private static let tickInterval = TimeSpan.milliseconds(50)

    /// The port that clients talk to.
    public let boundPort: Int
    let core: GatewayCore
    let group: MultiThreadedEventLoopGroup
    let loops: [ObjectIdentifier: NIOLoopBound<LoopContext>]
    private let listener: any Channel
    private let controlGroup: MultiThreadedEventLoopGroup
    private let control: NIOLoopBound<ControlPlane>
    private let closing = Mutex<Task<Void, Never>?>(nil)

    private init(
        core: GatewayCore, group: MultiThreadedEventLoopGroup, loops: [ObjectIdentifier: NIOLoopBound<LoopContext>],
        listener: any Channel, controlGroup: MultiThreadedEventLoopGroup, control: NIOLoopBound<ControlPlane>
    ) {
        boundPort = listener.localAddress?.port ?? core.configuration.port
        self.core = core
        self.group = group
        self.loops = loops
        self.listener = listener
        self.controlGroup = controlGroup
        self.control = control
    }

    /// Asks every endpoint once whether it is there (and for its models, where the configuration names none), then
    /// begins to listen.
    ///
    /// An endpoint that does not answer is no error: it is probed until it does.
    /// - Parameter requestHandler: answers requests that are to be queued; without one there is no queue.
    /// - Throws: `StartError`, or the operating system's reason why the port cannot be bound.
    public static func start(
        _ configuration: GatewayConfiguration, observer: any GatewayObserver = SilentObserver(),
        requestHandler: (any LocalRequestHandler)? = nil
    ) async throws -> Gateway {
        guard !configuration.pools.isEmpty, configuration.pools.allSatisfy({ !$0.endpoints.isEmpty }) else {
            throw StartError.nothingToServe
        }
        let core = GatewayCore(
            configuration: configuration, observer: observer, requestHandler: requestHandler, now: GatewayClock.now())
        let threads = configuration.threads > 0 ? configuration.threads : System.coreCount
        let group = MultiThreadedEventLoopGroup(numberOfThreads: threads)
        // Probes and ticks have a thread of their own, so that traffic does not starve them.
        let controlGroup = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        do {
            var loops: [ObjectIdentifier: NIOLoopBound<LoopContext>] = [:]
            for eventLoop in group.makeIterator() {
                loops[ObjectIdentifier(eventLoop)] = try await startLoop(on: eventLoop, core: core)
            }
            let control = try await startControl(on: controlGroup.next(), core: core)
            let listener = try await ClientListener.bind(group: group, loops: loops, core: core)
            return Gateway(
                core: core, group: group, loops: loops, listener: listener, controlGroup: controlGroup,
                control: control)
        } catch {
            try? await group.shutdownGracefully()
            try? await controlGroup.shutdownGracefully()
            throw error
        }
    }

    private static func startLoop(
        on eventLoop: any EventLoop, core: GatewayCore
    ) async throws -> NIOLoopBound<LoopContext> {
        try await eventLoop.submit {
            let loop = LoopContext(eventLoop: eventLoop, core: core)
            loop.start()
            return NIOLoopBound(loop, eventLoop: eventLoop)
        }.get()
    }

    private static func startControl(
        on eventLoop: any EventLoop, core: GatewayCore
    ) async throws -> NIOLoopBound<ControlPlane> {
        let firstRound = eventLoop.makePromise(of: Void.self)
        let control = try await eventLoop.submit {
            let control = ControlPlane(eventLoop: eventLoop, core: core)
            control.start(every: tickInterval, firstRound: firstRound)
            return NIOLoopBound(control, eventLoop: eventLoop)
        }.get()
        try await firstRound.futureResult.get()
        return control
    }

    // MARK: Stopping

    /// Whether the gateway has begun to stop: time for `/readyz` to say no.
    public var isDraining: Bool { core.isDraining.load(ordering: .relaxed) }

    /// Stops accepting, turns waiting requests away, and gives requests under way up to `timeout` to finish; those that
    /// have not are then ended, event streams with an error event.
    ///
    /// Returns whether all finished in time.
    public func drain(timeout: TimeSpan) async -> Bool {
        core.isDraining.store(true, ordering: .sequentiallyConsistent)
        try? await listener.close()
        for pool in core.directory.pools { pool.drain() }
        await onEachLoop { $0.beginDrain() }
        let idle = group.next().makePromise(of: Void.self)
        core.whenIdle(idle)
        let deadline = group.next().scheduleTask(in: timeout.timeAmount) { () -> Bool in false }
        let finished = idle.futureResult.map { true }
        let isFinished = try? await group.next().makeFutureOfFirst(finished, deadline.futureResult).get()
        deadline.cancel()
        guard isFinished != true else { return true }
        await onEachLoop { $0.endExchanges() }
        return false
    }

    /// Closes everything at once and releases the threads. Drain first to be kind to requests under way.
    ///
    /// A further call returns when the first one does.
    public func shutdown() async {
        let task = closing.withLock { closing in
            let task = closing ?? Task { await close() }
            closing = task
            return task
        }
        await task.value
    }

    private func close() async {
        core.isDraining.store(true, ordering: .sequentiallyConsistent)
        try? await listener.close()
        let control = control
        try? await control.eventLoop.submit { control.value.stop() }.get()
        await onEachLoop { $0.stop() }
        await core.handlerTasks.waitUntilNone()
        try? await group.shutdownGracefully()
        try? await controlGroup.shutdownGracefully()
    }

    private func onEachLoop(_ body: @escaping @Sendable (LoopContext) -> Void) async {
        for loop in loops.values {
            try? await loop.eventLoop.submit { body(loop.value) }.get()
        }
    }
}

/// Ignores what happens.
public struct SilentObserver: GatewayObserver {
    /// Creates an observer.
    public init() {}
}

extension EventLoopGroup {
    /// The result of whichever comes first.
    fileprivate func makeFutureOfFirst<Value: Sendable>(
        _ left: EventLoopFuture<Value>, _ right: EventLoopFuture<Value>
    ) -> EventLoopFuture<Value> {
        let promise = next().makePromise(of: Value.self)
        left.cascade(to: promise)
        right.cascade(to: promise)
        return promise.futureResult
    }
}
