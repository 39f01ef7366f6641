import Basics
import Pool
import Routing

/// What a pick among 100 endpoints costs: by the full set of llm-d's scorers, with its filters, and by cost.
func routingFigures() -> [Figure] {
    let table = crowdedTable(endpoints: 100)
    var request = RoutingRequest(
        id: 0, promptTokens: 4096, expectedOutputTokens: 200, ttftLimitMilliseconds: 900, tpotLimitMilliseconds: 60,
        adapter: "customer-adapter-number-11", headers: ["x-zone": "zone-1", "x-session-id": "a-session"])
    func weighted(_ policy: WeightedPolicy) -> Double {
        var pipeline = WeightedPipeline(policy, identities: table.identities, seed: 7)
        return bestMicroseconds(runs: 200, calls: 100) { _ in
            request.id &+= 1
            _ = pipeline.pick(for: request, among: table, now: .zero, wantsReceipt: false)
        }
    }
    let full = fullPolicy()
    var scorers = full
    scorers.filters = []
    var router = CostRouter()
    let cost = bestMicroseconds(runs: 200, calls: 100) { _ in
        request.id &+= 1
        _ = router.pick(request, among: table)
    }
    return [
        Figure(name: "weighted: 15 scorers, 100 endpoints", value: weighted(scorers), unit: "us", bar: .atMost(10)),
        Figure(name: "weighted: 10 filters and 15 scorers", value: weighted(full), unit: "us", bar: .atMost(10)),
        Figure(name: "weighted: llm-d's default", value: weighted(.routerDefault), unit: "us", bar: .none),
        Figure(name: "cost: 100 endpoints", value: cost, unit: "us", bar: .none),
    ]
}

/// A table in which everything differs between endpoints.
private func crowdedTable(endpoints: Int) -> CandidateTable {
    var generator = SeededGenerator(seed: 1)
    func draw(_ range: Range<Int>) -> Int { Int.random(in: range, using: &generator) }
    var table = CandidateTable(
        (0..<endpoints).map { index in
            CandidateTable.Identity(
                name: "10.0.0.\(index):8000",
                labels: [
                    "llm-d.ai/role": "both", "zone": "zone-\(index % 3)",
                    "llm-d.ai/context-length-range": "0-\(4096 + index * 64)",
                ])
        })
    table.promptBlocks = 64
    table.attributeNames = ["custom.queue_depth"]
    table.attributes = [(0..<endpoints).map { _ in Double(draw(0..<100)) }]
    for index in 0..<endpoints {
        table.inFlightRequests[index] = Int32(draw(1..<60))
        table.pendingPrefillTokens[index] = Int32(draw(0..<40_000))
        table.cachedBlocks[index] = Int32(draw(0..<65))
        table.cachedPromptTokens[index] = table.cachedBlocks[index] * 64
        table.scrapedWaiting[index] = Int32(draw(0..<20))
        table.scrapedRunning[index] = Int32(draw(0..<60))
        table.scrapedKVUsage[index] = Float(generator.unit())
        table.predictedTTFTMilliseconds[index] = Float(draw(50..<800))
        table.predictedTPOTMilliseconds[index] = Float(draw(5..<50))
        table.adapters[index] = .init(
            active: (0..<4).map { "customer-adapter-number-\((index + $0) % 40)" },
            waiting: ["customer-adapter-number-\(index % 7)"], limit: 8)
    }
    return table
}

/// All kinds of filters and scorers at once.
private func fullPolicy() -> WeightedPolicy {
    let session = WeightedSessionAffinity.sessionID(sources: [.header("x-session-id")], idleLimit: .seconds(300))
    return WeightedPolicy(
        filters: [
            .init(
                "selector",
                .labelSelector(WeightedLabelSelector([.isOneOf(key: "zone", values: ["zone-0", "zone-1", "zone-2"])]))),
            .init("role", WeightedFilterRule.decodeRole),
            .init("session", .sessionAffinity(session)),
            .init(
                "attribute", .endpointAttribute(.init(attribute: "custom.queue_depth", .lessThan, 1000))),
            .init(
                "utilization",
                .utilization(
                    caps: [.init(.activeRequests, atMost: 1000), .init(.waitingQueue, atMost: 1000)],
                    keepsAllWhenEmpty: true)),
            .init("affinity", .prefixCacheAffinity(WeightedPrefixAffinity(threshold: 0.01))),
            .init("tier", .headroomTier(negativeTierProbability: 0.01)),
            .init("length", .contextLength(label: WeightedScorerRule.defaultContextLengthLabel)),
            .init(
                "saturation", .utilizationDetector(.init(queueDepthThreshold: 1000, kvUsageThreshold: 1, headroom: 1))),
            .init("concurrency", .concurrencyDetector(.init(mode: .hybrid))),
        ],
        scorers: [
            .init("queue", .queue, weight: 2), .init("running", .runningRequests),
            .init("kv", .kvCacheUtilization, weight: 2),
            .init("load", .loadAware(threshold: 128)),
            .init("active", .activeRequests(idleThreshold: 0, maxBusyScore: 1)),
            .init("tokens", .tokenLoad(thresholdTokens: WeightedScorerRule.defaultThresholdTokens)),
            .init("prefix", .prefixCache(WeightedPrefixMatch(lengthWeight: 0.5)), weight: 3),
            .init("precise", .prefixCache(WeightedPrefixMatch())), .init("cold", .noHitLRU(capacity: 1024), weight: 2),
            .init("lora", .loraAffinity), .init("session", .sessionAffinity(session)),
            .init("length", .contextLength(label: WeightedScorerRule.defaultContextLengthLabel)),
            .init("zone", .headerLabelAffinity(header: "x-zone", label: "zone")),
            .init("attribute", .endpointAttribute(.init(attribute: "custom.queue_depth", lowerIsBetter: true))),
            .init("latency", .latency(WeightedLatencyPreference())),
        ],
        headroom: WeightedHeadroom(isStreaming: true))
}
