import Basics
import InferenceAPI
import NIOCore
import Pool
import PoolScheduler

/// Tells the schedulers of time, load and health: ticks, scrapes, probes and questions for models. On a loop of its own.
final class ControlPlane {
    /// One endpoint under watch.
    private final class Watch {
        let pool: Int
        let id: EndpointID
        let endpoint: UpstreamEndpoint
        var health: EndpointHealth
        var profile: EngineProfile?
        var models: [String] = []
        var hasBeenChecked = false

        init(pool: Int, id: EndpointID, endpoint: UpstreamEndpoint, health: EndpointHealth, profile: EngineProfile?) {
            self.pool = pool
            self.id = id
            self.endpoint = endpoint
            self.health = health
            self.profile = profile
        }
    }

    private let eventLoop: any EventLoop
    private let core: GatewayCore
    private let upstreams: UpstreamPool
    private let watches: [Watch]
    private var ticker: RepeatedTask?
    private var firstRound: EventLoopPromise<Void>?

    init(eventLoop: any EventLoop, core: GatewayCore) {
        self.eventLoop = eventLoop
        self.core = core
        upstreams = UpstreamPool(
            eventLoop: eventLoop, endpointCount: core.endpointCount, connectTimeout: core.limits.connectTimeout,
            idleTimeout: core.limits.upstreamIdle)
        watches = core.directory.pools.indices.flatMap { pool in
            let settings = core.directory.pools[pool].settings
            return settings.endpoints.indices.map { index in
                let metrics = settings.endpoints[index].metrics
                let interval: TimeSpan? = if case .none = metrics { nil } else { settings.scrapeInterval }
                let profile: EngineProfile? = if case .of(let profile) = metrics { profile } else { nil }
                return Watch(
                    pool: pool, id: EndpointID(index), endpoint: core.directory.pools[pool].endpoints[index],
                    health: EndpointHealth(scrapeInterval: interval, asksForModels: settings.models.isEmpty),
                    profile: profile)
            }
        }
    }

    /// Begins; `firstRound` succeeds when every endpoint has been asked once, answer or none.
    func start(every interval: TimeSpan, firstRound: EventLoopPromise<Void>) {
        self.firstRound = firstRound
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        ticker = eventLoop.scheduleRepeatedTask(initialDelay: .zero, delay: interval.timeAmount) { _ in
            bound.value.tick()
        }
    }

    func stop() {
        ticker?.cancel()
        upstreams.closeAll()
    }

    private func tick() {
        let now = GatewayClock.now()
        for pool in core.directory.pools { pool.tick() }
        core.capacityFeeds.publish(core.directory, now: now)
        for watch in watches {
            let isUp = core.directory.pools[watch.pool].view { scheduler, _ in scheduler.endpoints[watch.id.index].isUp
            }
            if let check = watch.health.dueCheck(isUp: isUp, now: now) { begin(check, of: watch) }
        }
        upstreams.sweep(now: now)
    }

    private func begin(_ check: EndpointHealth.Check, of watch: Watch) {
        let settings = core.directory.pools[watch.pool].settings
        let path =
            switch check {
            case .probe: "/health"
            case .models: "/v1/models"
            case .metrics: settings.metricsPath
            }
        ControlCall.get(
            path, from: watch.endpoint, over: upstreams, timeout: settings.scrapeTimeout, on: eventLoop
        ) { [self] outcome in
            end(check, of: watch, outcome)
        }
    }

    private func end(_ check: EndpointHealth.Check, of watch: Watch, _ outcome: ControlCall.Outcome) {
        let pool = core.directory.pools[watch.pool]
        let now = GatewayClock.now()
        switch outcome {
        case .answered(let status, let body) where isGood(check, status: status, body: body, watch: watch, pool: pool):
            watch.health.succeeded(check, now: now)
            core.endpointIsUp(watch.id, pool: pool)
        case .answered(let status, _):
            watch.health.failed(check, now: now)
            if check == .probe {
                core.endpointIsDown(watch.id, pool: pool, reason: "its health page has status \(status)")
            }
        case .failed:
            watch.health.gotNoAnswer(check, now: now)
            if watch.health.isSilent {
                core.endpointIsDown(watch.id, pool: pool, reason: "it answers no checks any more")
            }
        case .unreachable:
            watch.health.failed(check, now: now)
            core.endpointIsDown(watch.id, pool: pool, reason: "no connection could be opened")
        }
        watch.hasBeenChecked = true
        if let promise = firstRound, watches.allSatisfy(\.hasBeenChecked) {
            firstRound = nil
            promise.succeed()
        }
    }

    /// Whether the answer serves its purpose; uses it if so.
    private func isGood(
        _ check: EndpointHealth.Check, status: Int, body: ByteBuffer, watch: Watch, pool: PoolShell
    ) -> Bool {
        switch check {
        // A server without a health page is there all the same; one that reports trouble is not.
        case .probe: return status < 500
        case .models:
            guard status == 200, let models = ModelList.entries(in: Array(body.readableBytesView)) else { return false }
            core.directory.noteAdapters(models.filter(\.isAdapter).map(\.name), pool: watch.pool)
            discovered(models.map(\.name), by: watch, pool: pool)
            return true
        case .metrics:
            guard status == 200 else { return false }
            body.withUnsafeReadableBytes { page in
                if watch.profile == nil { watch.profile = EngineProfile.detect(page: page) }
                if let profile = watch.profile {
                    let metrics = ScrapedMetrics(
                        page: page, profile: profile, attributes: pool.settings.attributes)
                    if let adapters = metrics.adapters {
                        core.directory.noteAdapters(adapters.active + adapters.waiting, pool: watch.pool)
                    }
                    pool.scraped(watch.id, metrics, engine: profile.name)
                }
            }
            return true
        }
    }

    private func discovered(_ models: [String], by watch: Watch, pool: PoolShell) {
        watch.models = models
        var seen: Set<String> = []
        let all = watches.filter { $0.pool == watch.pool }.flatMap(\.models).filter { seen.insert($0).inserted }
        if core.directory.discovered(all, pool: watch.pool) {
            core.observer.modelsChanged(pool: pool.settings.name, models: all)
        }
    }
}
