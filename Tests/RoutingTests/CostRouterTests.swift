import Testing

@testable import Routing

/// The cost of a place in milliseconds, worked out by hand, and the choice of the cheapest.
@Suite struct CostRouterTests {
    private func request(
        promptTokens: Int = 1000, outputTokens: Int = 101, ttft: Double? = nil, tpot: Double? = nil,
        adapter: String? = nil
    ) -> RoutingRequest {
        RoutingRequest(
            id: 1, promptTokens: promptTokens, expectedOutputTokens: outputTokens, ttftLimitMilliseconds: ttft,
            tpotLimitMilliseconds: tpot, adapter: adapter)
    }

    private func table(_ count: Int) -> CandidateTable {
        var table = weightedTable(count)
        for index in 0..<count {
            table.predictedTTFTMilliseconds[index] = 100
            table.predictedTPOTMilliseconds[index] = 10
            table.prefillTokenMilliseconds[index] = 0.05
            table.addedStepMilliseconds[index] = 0.5
        }
        return table
    }

    @Test func thePartsOfACostAreThoseOfTheFormula() {
        var table = table(1)
        table.decodingRequests[0] = 4
        table.cachedPromptTokens[0] = 600
        let cost = CostRouter().cost(of: request(), at: 0, in: table)
        #expect(cost.firstToken == 100)
        #expect(cost.decode == 0.2 * 10 * 100)
        // Four others wait 400 * 0.05 ms for the prompt, and count 0.2 * 0.5 ms in each of 100 steps, by a tenth.
        #expect(abs(cost.interference - 0.1 * 4 * (20 + 10)) < 1e-4)
        #expect(cost.penalty == 0 && cost.adapter == 0)
        #expect(abs(cost.total - 312) < 1e-3)
    }

    private struct Limits {
        var ttft: Double?
        var tpot: Double?
        var others = Float.infinity
        /// Milliseconds beyond them, over the whole answer.
        var excess: Float
    }

    @Test func everyMillisecondBeyondALimitCountsTenfold() {
        let cases = [
            Limits(excess: 0), Limits(ttft: 100, excess: 0), Limits(ttft: 80, excess: 20), Limits(tpot: 10, excess: 0),
            Limits(tpot: 9, excess: 101), Limits(tpot: 9, others: 8, excess: 202), Limits(others: 9.5, excess: 50.5),
            Limits(ttft: 80, tpot: 9, excess: 121),
        ]
        for limits in cases {
            var table = table(1)
            table.tightestTPOTLimitMilliseconds[0] = limits.others
            let cost = CostRouter().cost(of: request(ttft: limits.ttft, tpot: limits.tpot), at: 0, in: table)
            #expect(abs(cost.penalty - 10 * limits.excess) < 1e-2, "\(limits)")
        }
    }

    @Test(arguments: [
        (CandidateTable.Adapters(), Float(200)), (.init(active: ["a"], limit: 1), 0),
        (.init(active: ["b"], waiting: ["a"], limit: 1), 0), (.init(active: ["b"], limit: 2), 200),
        (.init(active: ["b"], limit: 1), 1000),
    ])
    func anAdapterCostsWhatItTakesToLoadIt(adapters: CandidateTable.Adapters, milliseconds: Float) {
        var table = table(1)
        table.adapters[0] = adapters
        #expect(CostRouter().cost(of: request(adapter: "a"), at: 0, in: table).adapter == milliseconds)
        #expect(CostRouter().cost(of: request(), at: 0, in: table).adapter == 0)
    }

    @Test func absurdNumbersCostNothingOrMuchButNeverLessThanNothing() {
        var table = table(1)
        table.predictedTTFTMilliseconds[0] = -1
        table.predictedTPOTMilliseconds[0] = -1
        table.cachedPromptTokens[0] = .max
        table.decodingRequests[0] = .max
        for outputTokens in [Int.min, 0, 1, .max] {
            let request = request(promptTokens: 100, outputTokens: max(outputTokens, -1 << 40), ttft: 0, tpot: 0)
            let cost = CostRouter().cost(of: request, at: 0, in: table)
            #expect(cost.total >= 0 && !cost.total.isNaN)
        }
    }

    @Test func theCheapestCandidateIsTakenWhereverTheSearchBegins() {
        var router = CostRouter()
        var table = table(5)
        table.predictedTTFTMilliseconds = [50, 40, 10, 20, 60]
        for _ in 0..<7 { #expect(router.pick(request(), among: table) == 2) }
        table.isCandidate[2] = false
        for _ in 0..<7 { #expect(router.pick(request(), among: table) == 3) }
        table.isCandidate = Array(repeating: false, count: 5)
        #expect(router.pick(request(), among: table) == nil)
        #expect(router.pick(request(), among: CandidateTable([])) == nil)
    }

    @Test func equalCostsAreTakenInTurn() {
        var router = CostRouter()
        let table = table(3)
        let picks = (0..<9).compactMap { _ in router.pick(request(), among: table) }
        #expect(picks == [1, 2, 0, 1, 2, 0, 1, 2, 0])
    }

    @Test func theSharesOfTheConfigurationCount() {
        var table = table(1)
        table.decodingRequests[0] = 1
        let router = CostRouter(
            configuration: .init(decodeShare: 1, interferenceShare: 1, penaltyFactor: 2, adapterLoadMilliseconds: 7))
        let cost = router.cost(of: request(ttft: 90, adapter: "a"), at: 0, in: table)
        #expect(cost.decode == 1000)
        #expect(abs(cost.interference - (50 + 50)) < 1e-3)
        #expect(cost.penalty == 20 && cost.adapter == 7)
    }
}
