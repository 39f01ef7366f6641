import Basics
import NIOCore
import Pool
import PoolScheduler
import Synchronization

/// What all event loops of one gateway share.
final class GatewayCore: Sendable {
    let configuration: GatewayConfiguration
    let directory: PoolDirectory
    let endpoints: [[UpstreamEndpoint]]
    let bodyBudget: ByteBudget
    let observer: any GatewayObserver
    /// Set once, when the gateway begins to stop.
    let isDraining = Atomic<Bool>(false)
    let openConnections = Atomic<Int>(0)
    private let nextRequest = Atomic<UInt64>(1)
    private let running = Mutex<(count: Int, waiters: [EventLoopPromise<Void>])>((0, []))

    init(configuration: GatewayConfiguration, observer: any GatewayObserver, now: Instant) {
        self.configuration = configuration
        self.observer = observer
        directory = PoolDirectory(pools: configuration.pools.map { PoolShell(settings: $0, now: now) })
        endpoints = configuration.pools.map { $0.endpoints.map(UpstreamEndpoint.init) }
        bodyBudget = ByteBudget(limit: configuration.limits.bufferedBodyBytes)
    }

    var limits: GatewayLimits { configuration.limits }

    func newRequest() -> UInt64 {
        running.withLock { $0.count += 1 }
        return nextRequest.add(1, ordering: .relaxed).oldValue
    }

    func requestEnded() {
        let waiters = running.withLock { running -> [EventLoopPromise<Void>] in
            running.count -= 1
            guard running.count == 0 else { return [] }
            defer { running.waiters = [] }
            return running.waiters
        }
        for waiter in waiters { waiter.succeed() }
    }

    /// Requests that have begun and not ended.
    var runningRequests: Int { running.withLock { $0.count } }

    /// Succeeds `promise` as soon as no request is under way.
    func whenIdle(_ promise: EventLoopPromise<Void>) {
        let isIdle = running.withLock { running in
            if running.count > 0 { running.waiters.append(promise) }
            return running.count == 0
        }
        if isIdle { promise.succeed() }
    }

    /// An endpoint refused a connection: no more requests go there until it answers a probe.
    func endpointIsUnreachable(_ id: EndpointID, pool: PoolShell) {
        let wasUp = pool.view { scheduler, _ in scheduler.endpoints[id.index].isUp }
        guard wasUp else { return }
        pool.endpointChanged(id, isUp: false)
        observer.endpointChanged(
            pool: pool.settings.name, endpoint: pool.settings.endpoints[id.index].name, isUp: false,
            reason: "no connection could be opened")
    }
}
