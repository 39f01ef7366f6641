import Basics
import Pool
import Testing

@testable import Routing

/// Scores worked out by hand from the formulas of shared reference `scheduling.md` 1.4.
@Suite struct WeightedScorerTests {
    @Test(arguments: [
        ([0, 5, 10], [1, 0.5, 0]), ([3, 3, 3], [1, 1, 1]), ([7, 8], [1, 0]), ([4], [1]), ([1, 0, 4], [0.75, 1, 0]),
    ]) func theQueueIsScaledBetweenTheShortestAndTheLongest(_ waiting: [Int32], _ expected: [Double]) {
        var table = weightedTable(waiting.count)
        table.scrapedWaiting = waiting
        #expect(isClose(weightedRow(.queue, table), expected))
        table.scrapedRunning = waiting
        table.scrapedWaiting = waiting.map { _ in 0 }
        #expect(isClose(weightedRow(.runningRequests, table), expected))
        #expect(isClose(weightedRow(.queue, table), expected.map { _ in 1 }))
    }

    @Test func onlyCandidatesCountForTheRange() {
        var table = weightedTable(3)
        table.scrapedWaiting = [2, 100, 4]
        table.isCandidate[1] = false
        #expect(weightedScores(.queue, table) == [0: 1, 2: 0])
    }

    @Test func theKVCacheScoresByWhatIsFreeAndIsClamped() {
        var table = weightedTable(5)
        table.scrapedKVUsage = [0, 0.25, 1, 1.5, -0.5]
        #expect(weightedRow(.kvCacheUtilization, table) == [1, 0.75, 0, 0, 1])
        table.scrapedKVUsage = [.nan, 0.5, 0, 0, 0]
        #expect(weightedRow(.kvCacheUtilization, table).first == 0)
    }

    @Test func loadAwarenessNeverExceedsAHalf() {
        var table = weightedTable(5)
        table.scrapedWaiting = [0, 1, 64, 128, 1000]
        #expect(isClose(weightedRow(.loadAware(threshold: 128), table), [0.5, 0.49609375, 0.25, 0, 0]))
        #expect(isClose(weightedRow(.loadAware(threshold: 10), table), [0.5, 0.45, 0, 0, 0]))
    }

    @Test func activeRequestsAreComparedWithTheBusiest() {
        var table = weightedTable(4)
        table.inFlightRequests = [0, 2, 6, 8]
        #expect(isClose(weightedRow(.activeRequests(idleThreshold: 0, maxBusyScore: 1), table), [1, 0.75, 0.25, 0]))
        #expect(isClose(weightedRow(.activeRequests(idleThreshold: 2, maxBusyScore: 0.5), table), [1, 1, 0.125, 0]))
        table.inFlightRequests = [0, 0, 0, 0]
        #expect(weightedRow(.activeRequests(idleThreshold: 0, maxBusyScore: 0.5), table) == [1, 1, 1, 1])
        table.inFlightRequests = [3, 3, 3, 3]
        #expect(weightedRow(.activeRequests(idleThreshold: 0, maxBusyScore: 1), table) == [0, 0, 0, 0])
    }

    @Test func tokenLoadCountsTheRequestsOwnUncachedTokens() {
        var table = weightedTable(4)
        table.pendingPrefillTokens = [0, 0, 500, 2000]
        table.cachedPromptTokens = [0, 400, 400, 0]
        // 1 − (pending + 400 − cached) / 1000.
        let request = weightedRequest(promptTokens: 400)
        #expect(isClose(weightedRow(.tokenLoad(thresholdTokens: 1000), table, request), [0.6, 1, 0.5, 0]))
        let standard = weightedRow(.tokenLoad(thresholdTokens: WeightedScorerRule.defaultThresholdTokens), table)
        #expect(isClose(standard, [1, 1, 1 - 500.0 / 4_194_304, 1 - 2000.0 / 4_194_304]))
    }

    @Test func thePrefixScoresByShareAndOptionallyByLength() {
        var table = weightedTable(3)
        table.promptBlocks = 8
        table.cachedBlocks = [0, 4, 8]
        table.cachedPromptTokens = [0, 2048, 4096]
        #expect(weightedRow(.prefixCache(WeightedPrefixMatch()), table) == [0, 0.5, 1])
        // 0.5 · (2048 / 8192)² + 0.5 · 0.5 = 0.28125; 0.5 · 0.25 + 0.5 = 0.625.
        #expect(
            isClose(weightedRow(.prefixCache(WeightedPrefixMatch(lengthWeight: 0.5)), table), [0, 0.28125, 0.625]))
        let short = WeightedPrefixMatch(lengthWeight: 1, lengthScaleTokens: 1024)
        #expect(weightedRow(.prefixCache(short), table) == [0, 1, 1])
        table.promptBlocks = 0
        #expect(weightedRow(.prefixCache(short), table) == [0, 0, 0])
    }

    @Test func adaptersScoreByHowSoonTheyCanBeUsed() {
        var table = weightedTable(5)
        table.adapters = [
            .init(active: ["a", "b"], limit: 2), .init(active: ["b"], waiting: ["a"], limit: 4),
            .init(active: ["b"], waiting: ["a"], limit: 2), .init(active: ["b", "c"], limit: 2), .init(),
        ]
        var request = weightedRequest()
        request.adapter = "a"
        #expect(weightedRow(.loraAffinity, table, request) == [1, 0.8, 0.6, 0, 0])
        request.adapter = nil
        #expect(weightedRow(.loraAffinity, table, request) == [0, 0.8, 0, 0, 0])
        table.adapters[3].active.append("a")
        request.adapter = "a"
        #expect(weightedRow(.loraAffinity, table, request) == [1, 0.8, 0.6, 1, 0])
    }

    @Test func aTightContextRangeBeatsAWideOneAndANearOneAFarOne() {
        let label = WeightedScorerRule.defaultContextLengthLabel
        let ranges = ["0-2048", "0-10000", "1000-1000", "2000-4000", "0-500", "nonsense", "9-1", " 0 - 2048 "]
        let table = weightedTable(9, labels: ranges.map { [label: $0] })
        let scores = weightedRow(.contextLength(label: label), table, weightedRequest(promptTokens: 1000))
        // 0.3 + 0.7 · (0.7 / 1.2048 + 0.3 · 1048 / 2048); 0.3 + 0.7 · (0.35 + 0.27); a range without width;
        // 0.3 / (1 + 1000 / 1000); 0.3 / (1 + 500 / 1000); malformed; malformed; as the first; unlabelled.
        let first = 0.3 + 0.7 * (0.7 / 1.2048 + 0.3 * 1048 / 2048)
        #expect(isClose(scores, [first, 0.734, 1, 0.15, 0.2, 0, 0, first, 0.5]))
    }

    @Test func aHeaderIsMatchedWithALabel() {
        let table = weightedTable(4, labels: [["zone": "a"], ["zone": "b"], [:], ["zone": ""]])
        let rule = WeightedScorerRule.headerLabelAffinity(header: "X-Zone", label: "zone")
        #expect(weightedRow(rule, table, weightedRequest(headers: ["x-zone": "b"])) == [0, 1, 0, 0])
        #expect(weightedRow(rule, table, weightedRequest(headers: ["x-zone": "c"])) == [0, 0, 0, 0])
        #expect(weightedRow(rule, table, weightedRequest(headers: ["x-zone": ""])) == [0, 0, 0, 0])
        #expect(weightedRow(rule, table) == [0, 0, 0, 0])
    }

    @Test func anAttributeIsScaledToTheCandidatesOrToAFixedRange() {
        var table = weightedTable(4)
        table.attributeNames = ["other", "depth"]
        table.attributes = [[9, 9, 9, 9], [10, 30, .nan, 20]]
        let lower = WeightedAttributeScale(attribute: "depth", lowerIsBetter: true)
        #expect(weightedRow(.endpointAttribute(lower), table) == [1, 0, 0, 0.5])
        let higher = WeightedAttributeScale(attribute: "depth", lowerIsBetter: false)
        #expect(weightedRow(.endpointAttribute(higher), table) == [0, 1, 0, 0.5])
        let fixed = WeightedAttributeScale(attribute: "depth", lowerIsBetter: true, range: 20...40)
        #expect(weightedRow(.endpointAttribute(fixed), table) == [1, 0.5, 0, 1])
        let flat = WeightedAttributeScale(attribute: "other", lowerIsBetter: true)
        #expect(weightedRow(.endpointAttribute(flat), table) == [1, 1, 1, 1])
        let unknown = WeightedAttributeScale(attribute: "none", lowerIsBetter: true)
        #expect(weightedRow(.endpointAttribute(unknown), table) == [0, 0, 0, 0])
    }

    @Test func totalsAreTheWeightedSumsOfClampedScores() {
        var table = weightedTable(2)
        table.promptBlocks = 4
        table.cachedBlocks = [1, 4]
        table.scrapedWaiting = [0, 8]
        table.scrapedKVUsage = [0.5, 1.5]
        var pipeline = WeightedPipeline(.routerDefault, identities: table.identities, seed: 1)
        let decision = pipeline.pick(for: weightedRequest(), among: table, now: .zero, wantsReceipt: true)
        // 2 · 1 + 2 · 0.5 + 3 · 0.25 = 3.75; 2 · 0 + 2 · 0 + 3 · 1 = 3.
        #expect(decision.receipt?.candidates.map(\.total) == [3.75, 3])
        #expect(decision.receipt?.candidates.map(\.scores) == [[1, 0.5, 0.25], [0, 0, 1]])
        #expect(decision.receipt?.scorers == ["queue-scorer", "kv-cache-utilization-scorer", "prefix-cache-scorer"])
        #expect(decision.receipt?.weights == [2, 2, 3])
        #expect(decision.endpoint == EndpointID(0))
    }
}
