import Admission
import Basics
import Delivery
import Gateway
import GoogleAuth
import Harvest
import MessageQueues
import Pool
import PoolScheduler
import Telemetry
import Webhooks

/// What the process knows of itself at one moment, for the status page, the metrics and readiness.
struct StatusReport {
    /// Nil if this process runs no gateway.
    let gateway: GatewayStatus?
    let queues: [QueueStatus]
    let workerPools: [WorkerPoolStatus]
    /// The names that queues have inside their brokers, by their names here.
    let brokerNames: [String: String]
    /// Connections that are held for results.
    let waitingConnections: Int
    /// The priorities that the configuration names; their gauges are written also when nobody waits.
    let priorities: [Int]

    /// For the status page.
    ///
    /// - Parameter insights: what the gateway's pools have learned, in their order; empty: nothing is told of it.
    func snapshot(version: String, uptimeSeconds: Double, insights: [PoolInsight] = []) -> StatusSnapshot {
        StatusSnapshot(
            version: version, uptimeSeconds: uptimeSeconds, connections: gateway?.clientConnections ?? 0,
            pools: (gateway?.pools ?? []).enumerated().map { index, pool in
                snapshot(of: pool, insights.indices.contains(index) ? insights[index] : nil)
            },
            queues: queues.map {
                .init(
                    name: $0.name, depth: $0.depth.unfinished, leased: $0.counters.held, finished: $0.depth.results,
                    backlog: $0.backlog?.unacknowledged)
            })
    }

    private func snapshot(of pool: PoolStatus, _ insight: PoolInsight?) -> StatusSnapshot.Pool {
        StatusSnapshot.Pool(
            name: pool.name, models: pool.models,
            endpoints: pool.endpoints.enumerated().map { index, endpoint in
                let known = insight.flatMap { $0.endpoints.indices.contains(index) ? $0.endpoints[index] : nil }
                return StatusSnapshot.Endpoint(
                    url: "http://\(endpoint.name)", isUp: endpoint.isUp,
                    realtimeInFlight: endpoint.load.realtimeRequests,
                    batchInFlight: endpoint.load.sheddableRequests, waiting: endpoint.scraped?.waiting,
                    kvUsage: endpoint.scraped?.kvUsage, insight: known.map { .init(endpoint, $0) })
            },
            bands: pool.queue.map { band in
                let known = insight?.bands.first { $0.priority == band.priority }
                return .init(priority: band.priority, waiting: band.requests, insight: known.map { .init($0) })
            },
            allowedBatchRequests: pool.endpoints.reduce(0) { $0 + $1.harvest.allowedBatchRequests },
            batchRequestsInFlight: pool.endpoints.reduce(0) { $0 + $1.load.sheddableRequests },
            insight: insight.map { .init(pool, $0) })
    }

    /// For `/readyz`.
    var readiness: ReadinessReport {
        guard let gateway else {
            // Without its queue a processor alone is good for nothing; a gateway is.
            return ReadinessReport(
                checks: queues.map { queue in
                    .init(
                        name: "queue \(queue.name)", isMet: queue.outage == nil,
                        detail: queue.outage ?? "the queue can be reached")
                })
        }
        var checks = [
            ReadinessReport.Check(
                name: "accepting", isMet: !gateway.isDraining,
                detail: gateway.isDraining ? "the gateway is draining" : "the gateway accepts requests")
        ]
        for pool in gateway.pools {
            let up = pool.endpoints.count { $0.isUp }
            checks.append(
                .init(
                    name: "pool \(pool.name)", isMet: up > 0,
                    detail: "\(up) of \(pool.endpoints.count) endpoints are up"))
        }
        return ReadinessReport(checks: checks)
    }

    /// For `/metrics`.
    ///
    /// - Parameter insights: what the gateway's pools have learned, in their order; empty: nothing is told of it.
    func write(to registry: MetricsRegistry, insights: [PoolInsight] = []) {
        if let gateway {
            registry.instrument(MetricCatalog.connections).set(gateway.clientConnections)
            for pool in gateway.pools { write(pool, to: registry) }
            DecisionMetrics(pools: gateway.pools, insights: insights).write(to: registry)
            RouterCompatibilityMetrics(pools: gateway.pools, insights: insights, priorities: priorities)
                .write(to: registry)
        }
        registry.instrument(MetricCatalog.asyncWaiting).set(waitingConnections)
        for queue in queues { write(queue, to: registry) }
        AsyncCompatibilityMetrics(queues: queues, pools: workerPools, brokerNames: brokerNames).write(to: registry)
    }

    private func write(_ pool: PoolStatus, to registry: MetricsRegistry) {
        var waiting = Dictionary(priorities.map { ($0, 0) }, uniquingKeysWith: { first, _ in first })
        for band in pool.queue { waiting[band.priority] = band.requests }
        for (priority, requests) in waiting {
            registry.instrument(MetricCatalog.queueDepth, pool.name, String(priority)).set(requests)
        }
        for endpoint in pool.endpoints {
            let labels = (pool.name, endpoint.name)
            registry.instrument(MetricCatalog.requestsInFlight, labels.0, labels.1, "realtime")
                .set(endpoint.load.realtimeRequests)
            registry.instrument(MetricCatalog.requestsInFlight, labels.0, labels.1, "async")
                .set(endpoint.load.sheddableRequests)
            registry.instrument(MetricCatalog.endpointUp, labels.0, labels.1).set(endpoint.isUp ? 1 : 0)
            if let value = endpoint.scraped?.waiting {
                registry.instrument(MetricCatalog.endpointWaiting, labels.0, labels.1).set(value)
            }
            if let value = endpoint.scraped?.running {
                registry.instrument(MetricCatalog.endpointRunning, labels.0, labels.1).set(value)
            }
            if let value = endpoint.scraped?.kvUsage {
                registry.instrument(MetricCatalog.endpointKVUsage, labels.0, labels.1).set(value)
            }
        }
        registry.instrument(MetricCatalog.harvestAllowed, pool.name)
            .set(pool.endpoints.reduce(0) { $0 + $1.harvest.allowedBatchRequests })
        registry.instrument(MetricCatalog.harvestCap, pool.name)
            .set(pool.endpoints.reduce(0) { $0 + $1.harvest.requestCap })
        registry.instrument(MetricCatalog.retries, pool.name).raise(to: pool.counters.retried)
        // There from the start, at 0; `GatewayMetrics` counts.
        _ = registry.instrument(MetricCatalog.aborted, pool.name, "brake")
    }

    private func write(_ queue: QueueStatus, to registry: MetricsRegistry) {
        registry.instrument(MetricCatalog.asyncQueueDepth, queue.name).set(queue.depth.unfinished)
        if let backlog = queue.backlog {
            registry.instrument(MetricCatalog.asyncBacklog, queue.name).set(backlog.unacknowledged)
        } else {
            registry.remove(MetricCatalog.asyncBacklog, queue.name)
        }
        if let age = queue.backlog?.oldestAge {
            registry.instrument(MetricCatalog.asyncOldestMessage, queue.name).set(age.seconds)
        } else {
            registry.remove(MetricCatalog.asyncOldestMessage, queue.name)
        }
        registry.instrument(MetricCatalog.asyncLeased, queue.name).set(queue.counters.held)
        registry.instrument(MetricCatalog.asyncDeadLetters, queue.name).set(queue.depth.deadLetters)
        registry.instrument(MetricCatalog.asyncDelayed, queue.name).set(queue.depth.delayed)
        registry.instrument(MetricCatalog.asyncFailingModels, queue.name).set(queue.failingTargets.count)
        let counters = queue.counters
        let outcomes = [
            ("succeeded", counters.succeeded), ("failed", counters.failed), ("expired", counters.expired),
            ("cancelled", counters.cancelled),
        ]
        for (outcome, count) in outcomes {
            registry.instrument(MetricCatalog.asyncResults, queue.name, outcome).raise(to: count)
        }
        let setbacks = [
            ("failure", counters.retries), ("capacity", counters.capacityRefusals), ("eviction", counters.evictions),
            ("postponed", counters.postponed), ("handed_back", counters.handedBack),
            ("lost_lease", counters.lostLeases),
        ]
        for (reason, count) in setbacks {
            registry.instrument(MetricCatalog.asyncSetbacks, queue.name, reason).raise(to: count)
        }
        registry.instrument(MetricCatalog.asyncDispatched, queue.name).raise(to: counters.dispatched)
        registry.instrument(MetricCatalog.asyncQueueErrors, queue.name).raise(to: counters.queueErrors)
        let posts = [
            ("delivered", queue.webhooks.delivered), ("retried", queue.webhooks.retried),
            ("given_up", queue.webhooks.givenUp),
        ]
        for (outcome, count) in posts {
            registry.instrument(MetricCatalog.webhooks, queue.name, outcome).raise(to: count)
        }
    }
}

/// One queue and its processor at one moment.
struct QueueStatus {
    let name: String
    /// The name of its pool of workers, if it has one.
    let workerPool: String?
    /// Why it cannot be asked at present; nil if it can.
    let outage: String?
    let depth: QueueDepth
    let counters: ConsumerCounters
    /// Models that fail everything and are left alone for a while.
    let failingTargets: [String]
    let webhooks: WebhookCounters
    /// What waits at a broker that does not say so itself; nil if it is not known.
    var backlog: SubscriptionBacklog?
}
