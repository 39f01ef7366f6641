import Delivery
import DispatchGates
import GoogleAuth
import MessageQueues
import Telemetry
import WorkerPools

/// Writes what queues and pools of workers do under the names of llm-d-async.
struct AsyncCompatibilityMetrics {
    let queues: [QueueStatus]
    let pools: [WorkerPoolStatus]
    /// The names that queues have inside their brokers, by their names here.
    let brokerNames: [String: String]

    /// The pool that a queue without one counts towards, as upstream has it.
    static let standardPool = "default"

    func write(to registry: MetricsRegistry) {
        for queue in queues { write(queue, to: registry) }
        for pool in pools { write(pool, to: registry) }
    }

    private func write(_ queue: QueueStatus, to registry: MetricsRegistry) {
        let (id, name) = (queue.name, brokerNames[queue.name] ?? queue.name)
        let pool = queue.workerPool ?? Self.standardPool
        let counters = queue.counters
        let totals = [
            (AsyncMetricCatalog.requests, counters.firstDispatches),
            (AsyncMetricCatalog.retries, counters.retries + counters.capacityRefusals),
            (AsyncMetricCatalog.succeeded, counters.succeeded), (AsyncMetricCatalog.failed, counters.failed),
            (AsyncMetricCatalog.expired, counters.expired), (AsyncMetricCatalog.dispatched, counters.dispatched),
        ]
        for (metric, total) in totals { registry.instrument(metric, id, name, pool).raise(to: total) }
        let levels = [
            (AsyncMetricCatalog.queueDepth, counters.offered), (AsyncMetricCatalog.inFlight, counters.inFlight),
            (
                AsyncMetricCatalog.backlog,
                queue.backlog?.unacknowledged ?? (queue.depth.ready + queue.depth.delayed)
            ),
        ]
        for (metric, level) in levels { registry.instrument(metric, id, name, pool).set(level) }
        // Alerts divide by this one; a series that is not there yet would make them say nothing.
        _ = registry.instrument(AsyncMetricCatalog.shed, id, name, pool)
    }

    private func write(_ pool: WorkerPoolStatus, to registry: MetricsRegistry) {
        registry.instrument(AsyncMetricCatalog.workerLimit, pool.name).set(pool.limit)
        registry.instrument(AsyncMetricCatalog.budget, "", "", pool.name).set(pool.budget)
        write(pool.gates, id: "", name: "", pool: pool.name, to: registry)
        if let decisions = pool.decisions { write(decisions, id: "", name: "", pool: pool.name, to: registry) }
        for gate in pool.queueGates {
            let name = brokerNames[gate.queue] ?? gate.queue
            registry.instrument(AsyncMetricCatalog.budget, gate.queue, name, pool.name).set(gate.budget)
            write(gate.gates, id: gate.queue, name: name, pool: pool.name, to: registry)
            write(gate.decisions, id: gate.queue, name: name, pool: pool.name, to: registry)
        }
    }

    private func write(_ decisions: GateDecisions, id: String, name: String, pool: String, to registry: MetricsRegistry)
    {
        let counts = [
            ("gate_closed", decisions.closed), ("quota_exhausted", decisions.exhaustedQuotas),
            ("dropped", decisions.dropped), ("error", decisions.errors),
        ]
        for (reason, count) in counts {
            registry.instrument(AsyncMetricCatalog.gateDecisions, id, name, pool, reason).raise(to: count)
        }
    }

    private func write(
        _ gates: [GateStatus], id: String, name: String, pool: String, to registry: MetricsRegistry
    ) {
        for gate in gates {
            let inferencePool = gate.inferencePool
            if let value = gate.metricValue {
                registry.instrument(AsyncMetricCatalog.gateValue, id, name, pool, inferencePool).set(value)
            }
            if let threshold = gate.metricThreshold {
                registry.instrument(AsyncMetricCatalog.gateThreshold, id, name, pool, inferencePool).set(threshold)
            }
            if let isAvailable = gate.isSourceAvailable {
                registry.instrument(AsyncMetricCatalog.gateSourceAvailable, id, name, pool, inferencePool)
                    .set(isAvailable ? 1 : 0)
            }
        }
    }
}
