import Basics
import Pool
import Testing

@testable import Routing

/// What each filter keeps, from shared reference `scheduling.md` 1.4 and 3.5.
@Suite struct WeightedFilterTests {
    @Test func aLabelSelectorNeedsEveryCondition() {
        let table = weightedTable(
            4, labels: [["gpu": "h100", "tier": "a"], ["gpu": "h200", "tier": "b"], ["gpu": "h100"], [:]])
        func kept(_ requirements: WeightedLabelSelector.Requirement...) -> [Int] {
            weightedKept(.labelSelector(WeightedLabelSelector(requirements)), table).kept
        }
        #expect(kept() == [0, 1, 2, 3])
        #expect(kept(.isOneOf(key: "gpu", values: ["h100"])) == [0, 2])
        #expect(kept(.isOneOf(key: "gpu", values: ["h100"]), .isOneOf(key: "tier", values: ["a", "b"])) == [0])
        #expect(kept(.isNoneOf(key: "gpu", values: ["h100"])) == [1, 3])
        #expect(kept(.exists(key: "tier")) == [0, 1])
        #expect(kept(.isAbsent(key: "tier")) == [2, 3])
        let none = WeightedLabelSelector([.exists(key: "x")])
        #expect(weightedKept(.labelSelector(none), table).outcome == .noEligibleEndpoint(filter: "f"))
    }

    @Test func aLabelMayHaveSeveralValuesOrBeMissing() {
        let table = weightedTable(3, labels: [["gpu": "h100"], ["gpu": "l4"], [:]])
        func kept(_ values: [String], _ keepsUnlabelled: Bool) -> [Int] {
            weightedKept(
                .labelValues(label: "gpu", values: values, keepsUnlabelled: keepsUnlabelled), table
            ).kept
        }
        #expect(kept(["h100", "a100"], false) == [0])
        #expect(kept(["h100"], true) == [0, 2])
        #expect(kept([], true) == [2])
        #expect(kept([""], false) == [2])
        #expect(kept(["x"], false) == [])
    }

    @Test func rolesIncludeTheCombinedOnes() {
        let roles = [
            "encode", "prefill", "decode", "encode-prefill", "prefill-decode", "encode-prefill-decode", "both", "other",
        ]
        let table = weightedTable(9, labels: roles.map { ["llm-d.ai/role": $0] })
        #expect(weightedKept(.encodeRole, table).kept == [0, 3, 5])
        #expect(weightedKept(.prefillRole, table).kept == [1, 3, 4, 5, 6])
        #expect(weightedKept(.decodeRole, table).kept == [2, 4, 5, 6, 8])
    }

    @Test(arguments: [
        (WeightedAttributeThreshold.Comparison.lessThan, [0, 3]), (.lessThanOrEqual, [0, 1, 3]),
        (.greaterThan, [2, 3]),
        (.greaterThanOrEqual, [1, 2, 3]), (.equal, [1, 3]), (.notEqual, [0, 2, 3]),
    ]) func anAttributeIsCompared(_ comparison: WeightedAttributeThreshold.Comparison, _ expected: [Int]) {
        var table = weightedTable(4)
        table.attributeNames = ["depth"]
        table.attributes = [[1, 5, 9, .nan]]
        let pass = WeightedAttributeThreshold(attribute: "depth", comparison, 5)
        #expect(weightedKept(.endpointAttribute(pass), table).kept == expected)
        let fail = WeightedAttributeThreshold(attribute: "depth", comparison, 5, keepsMissing: false)
        #expect(weightedKept(.endpointAttribute(fail), table).kept == expected.filter { $0 != 3 })
        let unknown = WeightedAttributeThreshold(attribute: "x", comparison, 5, keepsMissing: false)
        #expect(weightedKept(.endpointAttribute(unknown), table).outcome == .saturated(filter: "f"))
        let fallback = WeightedAttributeThreshold(
            attribute: "x", comparison, 5, keepsMissing: false, keepsAllWhenEmpty: true)
        #expect(weightedKept(.endpointAttribute(fallback), table).kept == [0, 1, 2, 3])
    }

    @Test func everyUtilizationCapMustHold() {
        var table = weightedTable(4)
        table.inFlightRequests = [10, 0, 0, 0]
        table.scrapedRunning = [0, 41, 40, 0]
        table.scrapedWaiting = [0, 0, 0, 1]
        table.scrapedKVUsage = [0, 0, 0.5, 0]
        func kept(_ caps: [WeightedLoadCap], all: Bool = false) -> [Int] {
            weightedKept(.utilization(caps: caps, keepsAllWhenEmpty: all), table).kept
        }
        #expect(kept([.init(.runningRequests, atMost: 40), .init(.waitingQueue, atMost: 0)]) == [0, 2])
        #expect(kept([.init(.activeRequests, atMost: 9)]) == [1, 2, 3])
        #expect(kept([.init(.kvCacheUtilization, atMost: 0.5)]) == [0, 1, 2, 3])
        table.scrapedWaiting = [1, 1, 1, 1]
        #expect(kept([.init(.waitingQueue, atMost: 0)]) == [])
        #expect(kept([.init(.waitingQueue, atMost: 0)], all: true) == [0, 1, 2, 3])
    }

    @Test func aCachedPromptStaysUntilTheQueueThereCostsTooMuch() {
        var table = weightedTable(3)
        table.promptBlocks = 10
        table.cachedBlocks = [8, 9, 7]
        // 18 000 ms at 15 928 tokens/s are 286 704 tokens.
        let rule = WeightedFilterRule.prefixCacheAffinity(WeightedPrefixAffinity())
        #expect(weightedKept(rule, table).kept == [0, 1])
        table.pendingPrefillTokens = [286_704, 286_704, 0]
        #expect(weightedKept(rule, table).kept == [0, 1])
        table.pendingPrefillTokens = [286_705, 286_705, 0]
        #expect(weightedKept(rule, table).kept == [0, 1, 2])
        table.pendingPrefillTokens = [286_705, 0, 0]
        #expect(weightedKept(rule, table).kept == [0, 1])
        let forever = WeightedPrefixAffinity(maxPenaltyMilliseconds: 0)
        table.pendingPrefillTokens = [900_000, 900_000, 0]
        #expect(weightedKept(.prefixCacheAffinity(forever), table).kept == [0, 1])
        let explore = WeightedPrefixAffinity(explorationProbability: 1, maxPenaltyMilliseconds: 0)
        #expect(weightedKept(.prefixCacheAffinity(explore), table).kept == [0, 1, 2])
        let off = WeightedPrefixAffinity(threshold: 0, maxPenaltyMilliseconds: 0)
        #expect(weightedKept(.prefixCacheAffinity(off), table).kept == [0, 1, 2])
        table.cachedBlocks = [1, 1, 1]
        #expect(weightedKept(.prefixCacheAffinity(forever), table).kept == [0, 1, 2])
    }

    @Test func thePredictorCanBeTheSourceOfThePenalty() {
        var table = weightedTable(2)
        table.promptBlocks = 10
        table.cachedBlocks = [10, 0]
        table.predictedTTFTMilliseconds = [600, 99]
        let rule = WeightedFilterRule.prefixCacheAffinity(
            WeightedPrefixAffinity(maxPenaltyMilliseconds: 500, source: .predictor))
        #expect(weightedKept(rule, table).kept == [0, 1])
        table.predictedTTFTMilliseconds = [600, 100]
        #expect(weightedKept(rule, table).kept == [0])
        table.predictedTTFTMilliseconds = [600, -1]
        #expect(weightedKept(rule, table).kept == [0])
        table.predictedTTFTMilliseconds = [-1, 100]
        #expect(weightedKept(rule, table).kept == [0, 1])
        table.predictedTTFTMilliseconds = [-1, -1]
        #expect(weightedKept(rule, table).kept == [0])
    }

    @Test func aContextRangeMustHoldThePrompt() {
        let label = "range"
        let table = weightedTable(4, labels: [[label: "0-1000"], [label: "1001-4000"], [label: "x"], [:]])
        let rule = WeightedFilterRule.contextLength(label: label)
        #expect(weightedKept(rule, table, weightedRequest(promptTokens: 1000)).kept == [0, 3])
        #expect(weightedKept(rule, table, weightedRequest(promptTokens: 1001)).kept == [1, 3])
        var labelled = table
        labelled.isCandidate[3] = false
        let outcome = weightedKept(rule, labelled, weightedRequest(promptTokens: 5000)).outcome
        #expect(outcome == .noEligibleEndpoint(filter: "f"))
    }

    @Test func theUtilizationDetectorDropsFullAndStaleEndpointsButNeverAll() {
        var table = weightedTable(5)
        table.scrapedWaiting = [4, 5, 0, 0, 0]
        table.scrapedKVUsage = [0, 0, 0.79, 0.81, 0]
        table.scrapeAgeMilliseconds = [0, 0, 200, 0, 201]
        #expect(weightedKept(.utilizationDetector(.init()), table).kept == [0, 2])
        #expect(weightedKept(.utilizationDetector(.init(headroom: 0.5)), table).kept == [0, 1, 2, 3])
        table.scrapedWaiting = [5, 5, 5, 5, 5]
        #expect(weightedKept(.utilizationDetector(.init()), table).kept == [0, 1, 2, 3, 4])
    }

    @Test func theConcurrencyDetectorDropsFullEndpointsAndPossiblyAll() {
        var table = weightedTable(3)
        table.inFlightRequests = [99, 100, 110]
        table.pendingPrefillTokens = [1_000_000, 0, 0]
        #expect(weightedKept(.concurrencyDetector(.init()), table).kept == [0])
        #expect(weightedKept(.concurrencyDetector(.init(mode: .tokens)), table).kept == [1, 2])
        #expect(weightedKept(.concurrencyDetector(.init(mode: .hybrid)), table).kept == [])
        // 100 · 1.109 is cut to 110, which an endpoint must be below.
        #expect(weightedKept(.concurrencyDetector(.init(headroom: 0.109)), table).kept == [0, 1])
        #expect(weightedKept(.concurrencyDetector(.init(maxRequests: 1)), table).outcome == .saturated(filter: "f"))
    }

    @Test func theFilterThatKeepsNothingIsNamed() {
        var table = weightedTable(2, labels: [["a": "1"], [:]])
        table.inFlightRequests = [200, 200]
        let filters: [WeightedPolicy.Filter] = [
            .init("label", .labelSelector(WeightedLabelSelector([.exists(key: "a")]))),
            .init("full", .concurrencyDetector(.init())), .init("never", .decodeRole),
        ]
        var pipeline = WeightedPipeline(WeightedPolicy(filters: filters), identities: table.identities, seed: 1)
        let decision = pipeline.pick(for: weightedRequest(), among: table, now: .zero, wantsReceipt: true)
        #expect(decision.outcome == .saturated(filter: "full"))
        #expect(decision.endpoint == nil)
        #expect(decision.receipt?.considered == 2)
        #expect(decision.receipt?.filterings.map(\.filter) == ["label", "full"])
        #expect(decision.receipt?.filterings.map(\.kept) == [1, 0])
        table.isCandidate = [false, false]
        #expect(pipeline.pick(for: weightedRequest(), among: table, now: .zero).outcome == .noCandidates)
    }

    @Test func anEmptyPoolHasNoCandidates() {
        var pipeline = WeightedPipeline(.prefixBlend, identities: [], seed: 1)
        let decision = pipeline.pick(for: weightedRequest(), among: weightedTable(0), now: .zero)
        #expect(decision.outcome == .noCandidates)
        #expect(decision.endpoint == nil)
    }
}
