import Basics
import Pool
import Testing

@testable import Routing

/// The pipeline against a naive reading of the formulas: one dictionary per scorer, sets for filters.
@Suite struct WeightedReferenceTests {
    private static let lengthLabel = WeightedScorerRule.defaultContextLengthLabel

    /// A table with everything random, unknown values included.
    private func randomTable(_ count: Int, _ generator: inout SeededGenerator) -> CandidateTable {
        func draw(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &generator) }
        let labels = (0..<count).map { _ -> [String: String] in
            var labels: [String: String] = [:]
            if draw(0...3) > 0 { labels["zone"] = ["a", "b", "c"][draw(0...2)] }
            if draw(0...3) > 0 { labels["llm-d.ai/role"] = ["decode", "prefill", "both"][draw(0...2)] }
            if draw(0...2) > 0 { labels[Self.lengthLabel] = "\(draw(0...2000))-\(draw(1000...9000))" }
            return labels
        }
        var table = weightedTable(count, labels: labels)
        table.promptBlocks = Int32(draw(0...12))
        table.attributeNames = ["depth"]
        table.attributes = [(0..<count).map { _ in draw(0...4) == 0 ? .nan : Double(draw(0...20)) }]
        let areCold = draw(0...2) == 0
        for index in 0..<count {
            table.isCandidate[index] = draw(0...9) > 0
            table.inFlightRequests[index] = Int32(draw(0...12))
            table.pendingPrefillTokens[index] = Int32(draw(0...40_000))
            table.cachedBlocks[index] = areCold ? 0 : Int32(draw(0...Int(table.promptBlocks)))
            table.cachedPromptTokens[index] = table.cachedBlocks[index] * 64
            table.scrapedWaiting[index] = Int32(draw(0...8))
            table.scrapedRunning[index] = Int32(draw(0...30))
            table.scrapedKVUsage[index] = Float(draw(0...100)) / 100
            table.scrapeAgeMilliseconds[index] = Float(draw(0...250))
            table.predictedTTFTMilliseconds[index] = draw(0...9) == 0 ? -1 : Float(draw(10...300))
            table.predictedTPOTMilliseconds[index] = Float(draw(5...40))
            table.tightestTPOTLimitMilliseconds[index] = draw(0...1) == 0 ? .infinity : Float(draw(10...50))
            table.adapters[index] = .init(
                active: ["a", "b", "c"].filter { _ in draw(0...2) == 0 },
                waiting: ["a", "d"].filter { _ in draw(0...3) == 0 }, limit: draw(0...4))
        }
        return table
    }

    private let scorers: [WeightedPolicy.Scorer] = [
        .init("queue", .queue, weight: 2), .init("running", .runningRequests, weight: 1.5),
        .init("kv", .kvCacheUtilization, weight: 2), .init("load", .loadAware(threshold: 6)),
        .init("active", .activeRequests(idleThreshold: 2, maxBusyScore: 0.8)),
        .init("tokens", .tokenLoad(thresholdTokens: 30_000)),
        .init("prefix", .prefixCache(WeightedPrefixMatch(lengthWeight: 0.3, lengthScaleTokens: 500)), weight: 3),
        .init("cold", .noHitLRU(capacity: 5), weight: 2), .init("lora", .loraAffinity),
        .init("length", .contextLength(label: lengthLabel)),
        .init("zone", .headerLabelAffinity(header: "x-zone", label: "zone")),
        .init("depth", .endpointAttribute(.init(attribute: "depth", lowerIsBetter: true))),
        .init("latency", .latency(WeightedLatencyPreference()), weight: 0.7),
    ]

    private let filters: [WeightedPolicy.Filter] = [
        .init("decode", WeightedFilterRule.decodeRole),
        .init("zones", .labelSelector(WeightedLabelSelector([.isNoneOf(key: "zone", values: ["c"])]))),
        .init("caps", .utilization(caps: [.init(.activeRequests, atMost: 10)], keepsAllWhenEmpty: false)),
        .init("affinity", .prefixCacheAffinity(WeightedPrefixAffinity(threshold: 0.9, maxPenaltyMilliseconds: 900))),
        .init("detector", .utilizationDetector(.init(queueDepthThreshold: 7))),
    ]

    @Test func randomTablesGiveTheScoresOfTheNaiveReading() {
        var generator = SeededGenerator(seed: 99)
        var (picks, drained) = (0, 0)
        for world in 0..<400 {
            let count = Int.random(in: 1...20, using: &generator)
            var table = randomTable(count, &generator)
            let policy = WeightedPolicy(
                filters: world % 2 == 0 ? filters : [], scorers: scorers, headroom: .init(isStreaming: world % 3 != 0))
            var pipeline = WeightedPipeline(policy, identities: table.identities, seed: 5)
            var cold: [Int] = []
            for step in 0..<8 {
                var request = weightedRequest(UInt64(step), promptTokens: Int(table.promptBlocks) * 64 + 17)
                request.headers = ["x-zone": ["a", "b", "x", ""][step % 4]]
                request.adapter = [nil, "a", "d"][step % 3]
                request.ttftLimitMilliseconds = step % 2 == 0 ? 200 : nil
                request.tpotLimitMilliseconds = 30
                let naive = NaiveWeighted(policy: policy, table: table, request: request, cold: cold)
                let decision = pipeline.pick(for: request, among: table, now: .zero, wantsReceipt: true)
                let kept = naive.keptEndpoints()
                #expect(decision.receipt?.candidates.map(\.endpoint.index) == kept)
                guard let endpoint = decision.endpoint, let receipt = decision.receipt else {
                    drained += 1
                    #expect(kept.isEmpty)
                    continue
                }
                picks += 1
                let totals = naive.totals(of: kept)
                for candidate in receipt.candidates {
                    #expect(abs(candidate.total - (totals[candidate.endpoint.index] ?? -1)) < 1e-9)
                }
                let best = totals.values.max() ?? 0
                #expect((totals[endpoint.index] ?? -1) >= best - 1e-9)
                pipeline.picked(decision, for: request, endpoint: endpoint, now: .zero)
                if kept.allSatisfy({ table.cachedBlocks[$0] == 0 }) {
                    cold.removeAll { $0 == endpoint.index }
                    cold = (cold + [endpoint.index]).suffix(5)
                }
                table.inFlightRequests[endpoint.index] += 1
            }
        }
        #expect(picks > 1000)
        #expect(drained > 20)
    }
}

/// The formulas once more, as plainly as they can be written.
private struct NaiveWeighted {
    var policy: WeightedPolicy
    var table: CandidateTable
    var request: RoutingRequest
    /// Endpoints that got uncached prompts, the least recent first.
    var cold: [Int]

    func keptEndpoints() -> [Int] {
        var kept = Set((0..<table.count).filter { table.isCandidate[$0] })
        for filter in policy.filters {
            let before = kept
            switch filter.rule {
            case .labelValues(let label, let values, let unlabelled):
                kept = kept.filter { table.identities[$0].labels[label].map(values.contains) ?? unlabelled }
            case .labelSelector:
                kept = kept.filter { table.identities[$0].labels["zone"] != "c" }
            case .utilization:
                kept = kept.filter { table.inFlightRequests[$0] <= 10 }
            case .prefixCacheAffinity:
                let sticky = kept.filter { share($0) >= 0.9 }
                let others = kept.subtracting(sticky)
                let wait = { (index: Int) in Double(table.pendingPrefillTokens[index]) / 15928 * 1000 }
                let isDear =
                    !others.isEmpty && !sticky.isEmpty
                    && (sticky.map(wait).min() ?? 0) - (others.map(wait).min() ?? 0) > 900
                if !sticky.isEmpty, !isDear, kept.count > 1 { kept = sticky }
            case .utilizationDetector:
                kept = kept.filter {
                    table.scrapeAgeMilliseconds[$0] <= 200 && table.scrapedWaiting[$0] < 7
                        && Double(table.scrapedKVUsage[$0]) < 0.8
                }
                if kept.isEmpty { kept = before }
            default: Issue.record("the naive reading lacks \(filter.name)")
            }
            if kept.isEmpty { break }
        }
        return kept.sorted()
    }

    func totals(of kept: [Int]) -> [Int: Double] {
        var totals: [Int: Double] = [:]
        for scorer in policy.scorers {
            let scores = scores(scorer.rule, kept)
            for index in kept {
                totals[index, default: 0] += min(max(scores[index] ?? 0, 0), 1) * scorer.weight
            }
        }
        return totals
    }

    private func share(_ index: Int) -> Double {
        table.promptBlocks == 0 ? 0 : Double(table.cachedBlocks[index]) / Double(table.promptBlocks)
    }

    private func minMax(_ values: [Int: Double], lowerIsBetter: Bool = true) -> [Int: Double] {
        guard let low = values.values.min(), let high = values.values.max() else { return [:] }
        return values.mapValues { high == low ? 1 : (high - $0) / (high - low) }
    }

    private func scores(_ rule: WeightedScorerRule, _ kept: [Int]) -> [Int: Double] {
        func each(_ score: (Int) -> Double) -> [Int: Double] {
            Dictionary(uniqueKeysWithValues: kept.map { ($0, score($0)) })
        }
        switch rule {
        case .queue: return minMax(each { Double(table.scrapedWaiting[$0]) })
        case .runningRequests: return minMax(each { Double(table.scrapedRunning[$0]) })
        case .kvCacheUtilization: return each { 1 - Double(table.scrapedKVUsage[$0]) }
        case .loadAware: return each { 0.5 * (1 - Double(min(table.scrapedWaiting[$0], 6)) / 6) }
        case .activeRequests:
            let most = Double(kept.map { table.inFlightRequests[$0] }.max() ?? 0)
            return each { index in
                let count = Double(table.inFlightRequests[index])
                return count <= 2 ? 1 : (most - count) / most * 0.8
            }
        case .tokenLoad:
            return each { index in
                let own = max(0, request.promptTokens - Int(table.cachedPromptTokens[index]))
                return 1 - min(1, Double(Int(table.pendingPrefillTokens[index]) + own) / 30_000)
            }
        case .prefixCache:
            guard table.promptBlocks > 0 else { return [:] }
            return each { index in
                let length = min(1, Double(table.cachedBlocks[index] * 64) / 500)
                return 0.3 * length * length + 0.7 * share(index)
            }
        case .noHitLRU:
            if kept.contains(where: { table.cachedBlocks[$0] > 0 }) { return each { _ in 0.5 } }
            if kept.count == 1 { return each { _ in 1 } }
            let unused = kept.filter { !cold.contains($0) }
            return each { index in
                let rank = unused.firstIndex(of: index) ?? unused.count + (cold.firstIndex(of: index) ?? 0)
                return 1 - Double(rank) / Double(kept.count - 1)
            }
        case .loraAffinity:
            return each { index in
                let adapters = table.adapters[index]
                let wanted = request.adapter ?? "the base model"
                if adapters.active.contains(wanted) { return 1 }
                if adapters.active.count + adapters.waiting.count < adapters.limit { return 0.8 }
                return adapters.waiting.contains(wanted) ? 0.6 : 0
            }
        case .contextLength(let label): return each { lengthScore(table.identities[$0].labels[label]) }
        case .headerLabelAffinity:
            let zone = request.headers["x-zone"] ?? ""
            return each { zone != "" && table.identities[$0].labels["zone"] == zone ? 1 : 0 }
        case .endpointAttribute:
            return minMax(each { table.attributes[0][$0] }.filter { !$0.value.isNaN })
        case .latency: return latencyScores(kept)
        default:
            Issue.record("the naive reading lacks \(rule)")
            return [:]
        }
    }

    private func lengthScore(_ label: String?) -> Double {
        guard let label else { return 0.5 }
        let bounds = label.split(separator: "-").compactMap { Int($0) }
        guard bounds[0] <= bounds[1] else { return 0 }
        let tokens = request.promptTokens
        if tokens > bounds[1] { return 0.3 / (1 + Double(tokens - bounds[1]) / 1000) }
        if tokens < bounds[0] { return 0.3 / (1 + Double(bounds[0] - tokens) / 1000) }
        let width = Double(bounds[1] - bounds[0])
        if width == 0 { return 1 }
        return 0.3 + (0.7 / (1 + width / 10000) + 0.3 * Double(bounds[1] - tokens) / width) * 0.7
    }

    private func latencyScores(_ kept: [Int]) -> [Int: Double] {
        var headrooms: [Int: (ttft: Double, tpot: Double)] = [:]
        for index in kept where table.predictedTTFTMilliseconds[index] >= 0 {
            let limit = min(30, Double(table.tightestTPOTLimitMilliseconds[index]))
            headrooms[index] = (
                (request.ttftLimitMilliseconds ?? 0) - Double(table.predictedTTFTMilliseconds[index]),
                policy.headroom.isStreaming ? limit - Double(table.predictedTPOTMilliseconds[index]) : 0
            )
        }
        guard !headrooms.isEmpty else {
            let longest = Double(kept.map { table.scrapedWaiting[$0] }.max() ?? 0)
            return Dictionary(
                uniqueKeysWithValues: kept.map { index in
                    let room = longest > 0 ? (longest - Double(table.scrapedWaiting[index])) / longest : 1
                    let sum = (1 - Double(table.scrapedKVUsage[index])) / 3 + room / 3 + share(index) / 3
                    return (index, (sum * 100).rounded() / 100)
                })
        }
        let groups: [(Int) -> Bool] = [
            { headrooms[$0].map { $0.ttft >= 0 && $0.tpot >= 0 } ?? true },
            { table.inFlightRequests[$0] == 0 },
            { (headrooms[$0]?.ttft ?? 0) >= 0 },
            { (headrooms[$0]?.tpot ?? 0) >= 0 },
            { _ in true },
        ]
        let group = groups.lazy.map { kept.filter($0) }.first { !$0.isEmpty } ?? []
        let ttft = scaled(group) { abs(headrooms[$0]?.ttft ?? 0) }
        let tpot = scaled(group) { abs(headrooms[$0]?.tpot ?? 0) }
        var scores: [Int: Double] = [:]
        for index in group {
            let combined =
                switch (ttft, tpot) {
                case (nil, nil): 0.8 * 0.5 + 0.2 * 0.5
                case (let ttft?, nil): ttft[index] ?? 0
                case (nil, let tpot?): tpot[index] ?? 0
                case (let ttft?, let tpot?): 0.8 * (ttft[index] ?? 0) + 0.2 * (tpot[index] ?? 0)
                }
            scores[index] = Double(Int((1 - combined) * 100) + 1) / 100
        }
        return scores
    }

    /// The values scaled to 0...1; nil if they are all equal.
    private func scaled(_ group: [Int], _ value: (Int) -> Double) -> [Int: Double]? {
        let values = Dictionary(uniqueKeysWithValues: group.map { ($0, value($0)) })
        guard let low = values.values.min(), let high = values.values.max(), high > low else { return nil }
        return values.mapValues { ($0 - low) / (high - low) }
    }
}
