import Gateway
import Pool
import PoolScheduler
import PrefixIndex
import Telemetry

/// Writes the state of the gateway's pools under the names of the llm-d router.
struct RouterCompatibilityMetrics {
    let pools: [PoolStatus]
    let insights: [PoolInsight]
    /// The priorities that the configuration names; their gauges are written also when nobody waits.
    let priorities: [Int]

    func write(to registry: MetricsRegistry) {
        for pool in pools { write(pool, to: registry) }
        for insight in insights {
            let blocks = insight.prefix.textEntries + insight.prefix.tokenEntries
            registry.instrument(RouterMetricCatalog.prefixSize, insight.name).set(blocks)
            registry.instrument(RouterMetricCatalog.olderPrefixSize, insight.name).set(blocks)
        }
    }

    private func write(_ pool: PoolStatus, to registry: MetricsRegistry) {
        let saturation = pool.saturation
        registry.instrument(RouterMetricCatalog.saturation, pool.name, "effective").set(saturation)
        registry.instrument(RouterMetricCatalog.olderSaturation, pool.name).set(saturation)
        writeQueue(of: pool, to: registry)
        for endpoint in pool.endpoints {
            // What is down holds nothing that anybody could wait for, and has no say in an average.
            let requests = endpoint.isUp ? endpoint.waitingInside : 0
            registry.instrument(RouterMetricCatalog.endpointQueueSize, pool.name, endpoint.name).set(requests)
            registry.instrument(RouterMetricCatalog.olderEndpointQueueSize, pool.name, endpoint.name).set(requests)
        }
        let up = pool.endpoints.filter(\.isUp)
        let queue = Self.mean(up.map { Double($0.waitingInside) })
        let running = Self.mean(up.map { Double($0.scraped?.running ?? $0.load.requests) })
        let levels = [
            (RouterMetricCatalog.readyEndpoints, RouterMetricCatalog.olderReadyEndpoints, Double(up.count)),
            (RouterMetricCatalog.averageQueueSize, RouterMetricCatalog.olderAverageQueueSize, queue),
            (RouterMetricCatalog.averageRunning, RouterMetricCatalog.olderAverageRunning, running),
            (
                RouterMetricCatalog.averageKVUsage, RouterMetricCatalog.olderAverageKVUsage,
                Self.mean(up.compactMap { $0.scraped?.kvUsage })
            ),
        ]
        for (metric, older, level) in levels {
            registry.instrument(metric, pool.name).set(level)
            registry.instrument(older, pool.name).set(level)
        }
    }

    private func writeQueue(of pool: PoolStatus, to registry: MetricsRegistry) {
        var waiting = Dictionary(
            priorities.map { ($0, (requests: 0, bytes: 0)) }, uniquingKeysWith: { first, _ in first })
        for band in pool.queue { waiting[band.priority] = (band.requests, band.bytes) }
        for (priority, amounts) in waiting {
            for (metric, amount) in [
                (RouterMetricCatalog.queueSize, amounts.requests),
                (RouterMetricCatalog.olderQueueSize, amounts.requests),
                (RouterMetricCatalog.queueBytes, amounts.bytes), (RouterMetricCatalog.olderQueueBytes, amounts.bytes),
            ] {
                registry.instrument(metric, pool.name, String(priority)).set(amount)
            }
        }
    }

    private static func mean(_ values: [Double]) -> Double {
        values.isEmpty ? 0 : values.reduce(0, +) / Double(values.count)
    }
}

extension EndpointStatus {
    fileprivate var waitingInside: Int { scraped?.waiting ?? load.requestsAwaitingFirstToken }
}
