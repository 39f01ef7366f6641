import Admission
import Basics
import Gateway
import Harvest
import PoolScheduler
import Prediction
import PrefixIndex
import Routing
import Telemetry

/// What the status page tells of what pools have learned.
extension StatusSnapshot.PoolInsight {
    init(_ pool: PoolStatus, _ insight: PoolInsight) {
        self.init(
            saturation: pool.saturation, admissionSaturation: insight.admissionSaturation,
            prefixBlocks: insight.prefix.textEntries + insight.prefix.tokenEntries,
            prefixBytes: insight.prefix.memoryBytes, promptTokens: pool.counters.enginePromptTokens,
            cachedPromptTokens: pool.counters.engineCachedPromptTokens,
            rejected: Rejection.Cause.names.compactMap { cause, name in
                pool.counters.rejected[cause].map { .init(name, $0) }
            },
            flows: insight.flows.map {
                .init(name: $0.label, priority: $0.priority, waiting: $0.requests, servedTokens: $0.servedTokens)
            },
            shadow: insight.shadow.map { shadow in
                .init(
                    policy: shadow.policy, decisions: shadow.tally.decisions, agreements: shadow.tally.agreements,
                    improvements: shadow.tally.improvements, regretMilliseconds: shadow.tally.regretMilliseconds)
            })
    }
}

extension StatusSnapshot.EndpointInsight {
    init(_ endpoint: EndpointStatus, _ insight: EndpointInsight) {
        self.init(
            ttft: .init(insight.ttft), tpot: .init(insight.tpot),
            stepBaseMilliseconds: insight.stepTime.baseMilliseconds, cachedTokens: insight.cachedTokens,
            cacheCapacityTokens: insight.cacheCapacityTokens,
            harvestReserveMilliseconds: endpoint.harvest.reserveMilliseconds,
            harvestCaution: endpoint.harvest.caution, harvestLimit: endpoint.harvest.limit?.rawValue)
    }
}

extension StatusSnapshot.Prediction {
    /// Nil before the first outcome.
    init?(_ accuracy: PredictionAccuracy) {
        guard accuracy.count > 0 else { return nil }
        self.init(
            outcomes: accuracy.count, meanError: accuracy.meanAbsolutePercentageError,
            medianError: accuracy.medianAbsolutePercentageError, bias: accuracy.bias,
            coverage: accuracy.ninetiethPercentileCoverage)
    }
}

extension StatusSnapshot.BandInsight {
    init(_ band: BandSnapshot) {
        self.init(
            bytes: band.bytes, tokens: band.tokens, flows: band.flows, oldestWaitSeconds: band.oldestWait.seconds,
            fairness: band.jainIndex)
    }
}
