import Basics
import NIOCore
import Pool
import Routing
import Synchronization

/// What all event loops of one gateway share.
final class GatewayCore: Sendable {
    let configuration: GatewayConfiguration
    let directory: PoolDirectory
    /// Endpoints of all pools together.
    let endpointCount: Int
    let bodyBudget: ByteBudget
    /// For stored results on their way to clients: apart, so that they keep no request out.
    let resultBudget: ByteBudget
    let observer: any GatewayObserver
    let tenants: TenantRegistry
    let capacityFeeds = CapacityFeeds()
    let decisions = DecisionRegistry()
    /// Rules by the model that requests name.
    let rewrites: [String: ModelRewrite]
    /// Answers what is not for a model server, if anybody does.
    let requestHandler: (any LocalRequestHandler)?
    /// Work of that handler.
    let handlerTasks = TaskCounter()
    /// Set once, when the gateway begins to stop.
    let isDraining = Atomic<Bool>(false)
    let openConnections = Atomic<Int>(0)
    private let nextRequest = Atomic<UInt64>(1)
    private let running = Mutex<(count: Int, waiters: [EventLoopPromise<Void>])>((0, []))

    init(
        configuration: GatewayConfiguration, observer: any GatewayObserver,
        requestHandler: (any LocalRequestHandler)?, now: Instant
    ) {
        self.configuration = configuration
        self.observer = observer
        self.requestHandler = requestHandler
        rewrites = Dictionary(configuration.rewrites.map { ($0.model, $0) }, uniquingKeysWith: { first, _ in first })
        tenants = TenantRegistry(configuration.tenants, acceptsNames: configuration.acceptsTenantHeader)
        var pools: [PoolShell] = []
        var endpoints = 0
        for settings in configuration.pools {
            pools.append(PoolShell(settings: settings, number: pools.count, firstEndpoint: endpoints, now: now))
            endpoints += settings.endpoints.count
        }
        directory = PoolDirectory(pools: pools)
        endpointCount = endpoints
        bodyBudget = ByteBudget(limit: configuration.limits.bufferedBodyBytes)
        resultBudget = ByteBudget(limit: configuration.limits.bufferedBodyBytes / 2)
    }

    var limits: GatewayLimits { configuration.limits }

    /// All models that requests may name, sorted: those of the endpoints, and those that are rewritten to one of them.
    var servedModels: [String] {
        let models = directory.models
        guard !rewrites.isEmpty else { return models }
        let known = Set(models)
        let aliases = rewrites.values.filter { rewrite in rewrite.targets.contains { known.contains($0.model) } }
        return known.union(aliases.map(\.model)).sorted()
    }

    func newRequest() -> UInt64 {
        running.withLock { $0.count += 1 }
        return nextRequest.add(1, ordering: .relaxed).oldValue
    }

    /// Counts the end of a request, then tells the observer, then whoever waits for the last one to end.
    func requestEnded(_ record: RequestRecord) {
        running.withLock { $0.count -= 1 }
        observer.requestEnded(record)
        let waiters = running.withLock { running -> [EventLoopPromise<Void>] in
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

    /// No more requests go to the endpoint until it answers a probe.
    func endpointIsDown(_ id: EndpointID, pool: PoolShell, reason: String) {
        guard pool.endpointChanged(id, isUp: false) else { return }
        tell(id, pool: pool, isUp: false, reason: reason)
    }

    /// The endpoint has answered.
    func endpointIsUp(_ id: EndpointID, pool: PoolShell) {
        guard pool.endpointChanged(id, isUp: true) else { return }
        tell(id, pool: pool, isUp: true, reason: "it answers again")
    }

    private func tell(_ id: EndpointID, pool: PoolShell, isUp: Bool, reason: String) {
        observer.endpointChanged(
            pool: pool.settings.name, endpoint: pool.settings.endpoints[id.index].name, isUp: isUp, reason: reason)
    }
}
