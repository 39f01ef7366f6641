import Admission
import Basics
import Gateway
import Harvest
import Pool
import PoolScheduler
import Prediction
import PrefixIndex
import Routing
import Telemetry

/// Writes what the pools have learned and whom they keep waiting.
struct DecisionMetrics {
    let pools: [PoolStatus]
    /// In the order of `pools`.
    let insights: [PoolInsight]

    private typealias Levels = [(labels: [String], value: Double)]

    func write(to registry: MetricsRegistry) {
        for pool in pools { writeCounters(of: pool, to: registry) }
        for insight in insights { writeCounters(of: insight, to: registry) }
        writeLevels(to: registry)
        writePredictions(to: registry)
        writeWaiting(to: registry)
    }

    // MARK: What only grows

    private func writeCounters(of pool: PoolStatus, to registry: MetricsRegistry) {
        for (cause, name) in Rejection.Cause.names {
            registry.instrument(MetricCatalog.rejected, pool.name, name).raise(to: pool.counters.rejected[cause] ?? 0)
        }
        for (metric, total) in [
            (MetricCatalog.queueEvicted, pool.counters.evicted),
            (MetricCatalog.calledBackTokens, pool.counters.lostTokens),
            (MetricCatalog.enginePromptTokens, pool.counters.enginePromptTokens),
            (MetricCatalog.engineCachedTokens, pool.counters.engineCachedPromptTokens),
        ] {
            registry.instrument(metric, pool.name).raise(to: total)
        }
    }

    private func writeCounters(of insight: PoolInsight, to registry: MetricsRegistry) {
        for (event, total) in [
            ("routed", insight.prefix.routedBlocks), ("hit", insight.prefix.hitBlocks),
            ("evicted", insight.prefix.evictedBlocks), ("refused", insight.prefix.droppedBlocks),
        ] {
            registry.instrument(MetricCatalog.prefixOperations, insight.name, event).raise(to: total)
        }
        guard let shadow = insight.shadow else { return }
        for (result, total) in [
            ("all", shadow.tally.decisions), ("same", shadow.tally.agreements), ("better", shadow.tally.improvements),
        ] {
            registry.instrument(MetricCatalog.shadowDecisions, insight.name, shadow.policy, result).raise(to: total)
        }
    }

    // MARK: What comes and goes

    private func writeLevels(to registry: MetricsRegistry) {
        registry.replace(MetricCatalog.saturation, with: pools.map { ([$0.name], $0.saturation) })
        registry.replace(
            MetricCatalog.admissionSaturation, with: insights.map { ([$0.name], $0.admissionSaturation) })
        registry.replace(
            MetricCatalog.prefixBlocks,
            with: insights.flatMap { insight in
                [
                    ([insight.name, "text"], Double(insight.prefix.textEntries)),
                    ([insight.name, "tokens"], Double(insight.prefix.tokenEntries)),
                ]
            })
        registry.replace(MetricCatalog.prefixMemory, with: insights.map { ([$0.name], Double($0.prefix.memoryBytes)) })
        registry.replace(
            MetricCatalog.shadowRegret,
            with: insights.compactMap { insight in
                insight.shadow.map { ([insight.name, $0.policy], $0.tally.regretMilliseconds / 1000) }
            })
        for (metric, level): (Metric<Gauge>, (HarvestState) -> Double) in [
            (MetricCatalog.harvestReserve, { $0.reserveMilliseconds / 1000 }),
            (MetricCatalog.harvestCaution, { $0.caution }), (MetricCatalog.harvestSpeed, { $0.speedFactor }),
        ] {
            registry.replace(
                metric,
                with: pools.flatMap { pool in pool.endpoints.map { ([pool.name, $0.name], level($0.harvest)) } })
        }
    }

    private func writePredictions(to registry: MetricsRegistry) {
        let endpoints = insights.flatMap { insight in insight.endpoints.map { (pool: insight.name, endpoint: $0) } }
        for (metric, level): (Metric<Gauge>, (PredictionAccuracy) -> Double) in [
            (MetricCatalog.predictionOutcomes, { Double($0.count) }),
            (MetricCatalog.predictionMeanError, { $0.meanAbsolutePercentageError }),
            (MetricCatalog.predictionMedianError, { $0.medianAbsolutePercentageError }),
            (MetricCatalog.predictionBias, { $0.bias }),
            (MetricCatalog.predictionCoverage, { $0.ninetiethPercentileCoverage }),
        ] {
            let levels: Levels = endpoints.flatMap { pool, endpoint in
                [("ttft", endpoint.ttft), ("tpot", endpoint.tpot)].compactMap { latency, accuracy in
                    accuracy.count > 0 ? ([pool, endpoint.name, latency], level(accuracy)) : nil
                }
            }
            registry.replace(metric, with: levels)
        }
        registry.replace(
            MetricCatalog.stepTime,
            with: endpoints.flatMap { pool, endpoint in
                [
                    ("base", endpoint.stepTime.baseMilliseconds), ("decode", endpoint.stepTime.perDecodeMilliseconds),
                    ("context_token", endpoint.stepTime.perContextTokenMilliseconds),
                    ("prompt_token", endpoint.stepTime.perPrefillTokenMilliseconds),
                ].map { part, milliseconds in ([pool, endpoint.name, part], milliseconds / 1000) }
            })
        registry.replace(
            MetricCatalog.prefixCachedTokens,
            with: endpoints.map { ([$0.pool, $0.endpoint.name], Double($0.endpoint.cachedTokens)) })
        registry.replace(
            MetricCatalog.prefixCapacity,
            with: endpoints.compactMap { pool, endpoint in
                endpoint.cacheCapacityTokens.map { ([pool, endpoint.name], Double($0)) }
            })
    }

    private func writeWaiting(to registry: MetricsRegistry) {
        let bands = insights.flatMap { insight in insight.bands.map { (pool: insight.name, band: $0) } }
        for (metric, level): (Metric<Gauge>, (BandSnapshot) -> Double?) in [
            (MetricCatalog.queueBytes, { Double($0.bytes) }), (MetricCatalog.queueTokens, { Double($0.tokens) }),
            (MetricCatalog.queueFlows, { Double($0.flows) }),
            (MetricCatalog.queueOldestWait, { $0.oldestWait.seconds }),
            (MetricCatalog.queueFairness, { $0.jainIndex }),
        ] {
            registry.replace(
                metric,
                with: bands.compactMap { pool, band in level(band).map { ([pool, String(band.priority)], $0) } })
        }
        let flows = insights.flatMap { insight in
            insight.flows.map { (labels: [insight.name, String($0.priority), $0.label], flow: $0) }
        }
        registry.replace(MetricCatalog.flowServedTokens, with: flows.map { ($0.labels, $0.flow.servedTokens) })
        registry.replace(MetricCatalog.flowWaiting, with: flows.map { ($0.labels, Double($0.flow.requests)) })
    }
}

extension FlowSnapshot {
    /// The name under which the flow is told; all that are not told apart are `other`.
    var label: String { isOverflow ? "other" : flow }
}

extension Rejection.Cause {
    /// The causes under the names that metrics and the status page give them, in the order of the page.
    static let names: [(Self, String)] = [
        (.queueFull, "queue_full"), (.expired, "expired"), (.infeasible, "infeasible"),
        (.noEndpoints, "no_endpoints"), (.endpointsFailed, "endpoints_failed"), (.shuttingDown, "shutting_down"),
    ]
}
