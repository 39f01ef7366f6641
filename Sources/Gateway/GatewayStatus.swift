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

    /// The requests that it serves, with the room that is kept for the next rise of real-time traffic, as a share of those that
    /// the harvest law lets it carry; at least 1 where the law lets in no batch request at all.
    fileprivate var saturation: Double {
        let taken = Double(
            load.requests + foreignRequests + (load.requests + foreignRequests > 0 ? harvest.reserve : 0))
        let places = max(1, min(harvest.requestCap, Double(capacity.maxConcurrentRequests)))
        let share = taken / places
        switch harvest.limit {
        // The budget for prompts is used up and refilled many times a second.
        case nil, .prefill: return share
        case .endpoint, .stepTime, .kvCache, .brake, .disabled: return max(1, share)
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

    /// All models that requests may name, sorted.
    public var models: [String] { core.directory.models }
}

extension PoolShell {
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
