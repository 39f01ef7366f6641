import Gateway
import Pool
import Telemetry

/// Writes the state of the gateway's pools under the names of the llm-d router.
struct RouterCompatibilityMetrics {
    let pools: [PoolStatus]
    /// The priorities that the configuration names; their gauges are written also when nobody waits.
    let priorities: [Int]

    func write(to registry: MetricsRegistry) {
        for pool in pools { write(pool, to: registry) }
    }

    private func write(_ pool: PoolStatus, to registry: MetricsRegistry) {
        let saturation = pool.saturation
        registry.instrument(RouterMetricCatalog.saturation, pool.name, "effective").set(saturation)
        registry.instrument(RouterMetricCatalog.olderSaturation, pool.name).set(saturation)
        var waiting = Dictionary(priorities.map { ($0, 0) }, uniquingKeysWith: { first, _ in first })
        for band in pool.queue { waiting[band.priority] = band.requests }
        for (priority, requests) in waiting {
            for metric in [RouterMetricCatalog.queueSize, RouterMetricCatalog.olderQueueSize] {
                registry.instrument(metric, pool.name, String(priority)).set(requests)
            }
        }
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

    private static func mean(_ values: [Double]) -> Double {
        values.isEmpty ? 0 : values.reduce(0, +) / Double(values.count)
    }
}

extension EndpointStatus {
    fileprivate var waitingInside: Int { scraped?.waiting ?? load.requestsAwaitingFirstToken }
}
