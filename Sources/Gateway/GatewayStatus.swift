public import Basics
public import Harvest
public import Pool
public import PoolScheduler
import Synchronization

/// What goes on in the gateway at one moment: the source of gauges and of the status page.
public struct GatewayStatus: Sendable {
    /// The pools, as configured.
    public var pools: [PoolStatus]
    /// Open client connections.
    public var clientConnections: Int
    /// Requests that have begun and not ended, waiting ones included.
    public var requests: Int
    /// Request-body bytes held in memory.
    public var heldBodyBytes: Int
    /// Bytes of stored results on their way to clients.
    public var heldResultBytes: Int
    /// Whether the gateway is stopping.
    public var isDraining: Bool
}

/// One pool at one moment.
public struct PoolStatus: Sendable {
    /// Its name.
    public var name: String
    /// The models that it serves; empty if its endpoints have not told them yet.
    public var models: [String]
    /// Its endpoints.
    public var endpoints: [EndpointStatus]
    /// Who waits, by band, highest priority first.
    public var queue: [BandStatus]
    /// Requests that wait or run.
    public var requests: Int
    /// What its scheduler has done.
    public var counters: SchedulerCounters

    /// How much of what the pool may carry it carries: 1 where no further batch request may start, more if real-time traffic
    /// alone exceeds that. The mean over the endpoints that are up; at least 1 while real-time requests wait or none is up.
    public var saturation: Double {
        let up = endpoints.filter(\.isUp)
        guard !up.isEmpty else { return 1 }
        let mean = up.reduce(0) { $0 + $1.saturation } / Double(up.count)
        return queue.contains { $0.priority >= 0 && $0.requests > 0 } ? max(1, mean) : mean
    }
}

/// Requests of one priority that wait.
public struct BandStatus: Hashable, Sendable {
    /// The priority.
    public var priority: Int
    /// How many wait.
    public var requests: Int
    /// The body bytes that they hold.
    public var bytes: Int
}

/// One endpoint at one moment.
public struct EndpointStatus: Sendable {
    /// Host and port.
    public var name: String
    /// Whether it is given work.
    public var isUp: Bool
    /// The gateway's own counters.
    public var load: EndpointLoad
    /// Requests that it serves for others, by estimate.
    public var foreignRequests: Int
    /// Size and speed.
    public var capacity: EndpointCapacity
    /// What the harvest law says, for a request of the size given to `Gateway.status`.
    public var harvest: HarvestState
    /// Whether it is expected to report about itself.
    public var reports: Bool
    /// What it last reported about itself; nil before the first report.
    public var scraped: ScrapedMetrics?
    /// When it did.
    public var scrapedAt: Instant?
    /// The engine that it runs, by its metrics.
    public var engine: String?

    /// The requests that it serves as a share of those that it could serve now by the harvest law; at least 1 where the law
    /// lets in no batch request at all.
    fileprivate var saturation: Double {
        let taken = Double(load.requests + foreignRequests)
        switch harvest.limit {
        // The budget for prompts is used up and refilled many times a second.
        case nil, .prefill:
            let further = min(
                harvest.allowedBatchRequests - load.sheddableRequests, capacity.maxConcurrentRequests - load.requests)
            return taken / max(1, taken + Double(max(0, further)))
        case .endpoint, .stepTime, .kvCache, .brake, .disabled:
            let places = min(harvest.requestCap, Double(capacity.maxConcurrentRequests)) + Double(foreignRequests)
            return max(1, taken / max(1, places))
        }
    }
}

extension Gateway {
    /// What goes on now.
    ///
    /// - Parameter demand: the batch request that the harvest states are worked out for.
    public func status(
        harvestFor demand: RequestDemand = RequestDemand(promptTokens: 1000, expectedOutputTokens: 200)
    ) -> GatewayStatus {
        let pools = core.directory.pools.enumerated().map { index, pool in
            pool.status(models: core.directory.models(of: index), demand: demand)
        }
        return GatewayStatus(
            pools: pools, clientConnections: core.openConnections.load(ordering: .relaxed),
            requests: core.runningRequests, heldBodyBytes: core.bodyBudget.usedBytes,
            heldResultBytes: core.resultBudget.usedBytes, isDraining: isDraining)
    }

    /// What the pools have learned and whom they keep waiting now, in the order of `status`.
    ///
    /// Worth more than a look at a status: collected once for an exposition or a page, in short looks at each scheduler.
    ///
    /// - Parameter demand: the real-time request that the saturation of admission is worked out for.
    public func insights(
        for demand: RequestDemand = RequestDemand(promptTokens: 1000, expectedOutputTokens: 200)
    ) -> [PoolInsight] {
        core.directory.pools.map { $0.insight(for: demand) }
    }

    /// All models that requests may name, sorted.
    public var models: [String] { core.directory.models }
}

extension PoolShell {
    /// Flows that are told of, and endpoints that are looked at under one lock.
    private static let insightFlows = 20
    private static let endpointsAtOnce = 8

    fileprivate func insight(for demand: RequestDemand) -> PoolInsight {
        var insight = view { $0.insight(for: demand, flowLimit: Self.insightFlows, now: $1) }
        for first in stride(from: 0, to: endpoints.count, by: Self.endpointsAtOnce) {
            insight.endpoints += view { scheduler, _ in
                scheduler.endpointInsights(first..<(first + Self.endpointsAtOnce))
            }
        }
        return insight
    }

    fileprivate func status(models: [String], demand: RequestDemand) -> PoolStatus {
        let reports = self.reports
        return view { scheduler, now in
            let harvest = scheduler.harvestStates(for: demand, now: now)
            let endpoints = scheduler.endpoints.enumerated().map { index, endpoint in
                let isSilent = if case .none = settings.endpoints[index].metrics { true } else { false }
                return EndpointStatus(
                    name: endpoint.name, isUp: endpoint.isUp, load: endpoint.load,
                    foreignRequests: endpoint.foreignLoad.requests(now: now), capacity: endpoint.capacity,
                    harvest: harvest[index], reports: !isSilent, scraped: reports[index]?.metrics,
                    scrapedAt: reports[index]?.received,
                    engine: reports[index]?.engine)
            }
            return PoolStatus(
                name: scheduler.name, models: models, endpoints: endpoints,
                queue: scheduler.queueDepths.map {
                    BandStatus(priority: $0.priority, requests: $0.requests, bytes: $0.bytes)
                },
                requests: scheduler.requestCount, counters: scheduler.counters)
        }
    }
}
