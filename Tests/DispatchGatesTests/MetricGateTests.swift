import Basics
import DispatchGates
import Testing

@Suite struct MetricGateTests {
    @Test func aConstantGateIsOpenByItsBudget() {
        var open = GateBench(.constant(budget: 1))
        #expect(open.budget == 1 && open.apply(1).isProceed)
        var closed = GateBench(.constant(budget: 0))
        #expect(closed.budget == 0 && closed.apply(1).isRefuse)
    }

    @Test(arguments: [
        (GateReading.value(0.4), 0.4), (.value(0), 0), (.value(-3), 0), (.value(7), 1), (.value(.nan), 0),
        (.value(.infinity), 0), (.absent, 0), (.failed("down"), 0),
    ])
    func theRedisBudgetIsTheNumberUnderTheKey(reading: GateReading, budget: Double) {
        var bench = GateBench(.redis(.init(address: "r:1")))
        #expect(bench.gate.sources == [.redisKey(address: "r:1", key: "dispatch-gate-budget")])
        bench.read(reading)
        #expect(bench.budget == budget)
        #expect(bench.apply(1).isProceed == (budget > 0))
    }

    @Test func theRedisFallbackIsForAMissingNumberAndNotForAnUnreachableServer() {
        var bench = GateBench(.redis(.init(address: "r:1", fallback: 1)))
        #expect(bench.budget == 0)
        bench.read(.absent)
        #expect(bench.budget == 1)
        bench.read(.failed("down"))
        #expect(bench.budget == 0)
    }

    // D is what the query answers: 1 - saturation.
    @Test(arguments: [(1.0, 0.8), (0.6, 0.4), (0.21, 0.01), (1 - 0.8, 0.0), (0.1, 0.0), (-1.5, 0.0)])
    func saturationClosesAtItsThresholdAndOpensByTheMarginBelow(value: Double, budget: Double) {
        var bench = GateBench(.prometheusSaturation(.init(pool: "p")))
        bench.read(.value(value))
        #expect(isNear(bench.budget, budget))
        #expect(bench.apply(1).isProceed == (budget > 0))
    }

    @Test func saturationAsksForBothMetricNamesInOneQuery() {
        let plain = DispatchGate(.prometheusSaturation(.init(pool: "p\"q")), owner: "o")
        #expect(
            plain.sources == [
                .prometheus(
                    query: #"1 - (max(llm_d_epp_flow_control_pool_saturation{inference_pool="p\"q"}) "#
                        + #"or max(inference_extension_flow_control_pool_saturation{inference_pool="p\"q"}))"#)
            ])
        let spaced = DispatchGate(.prometheusSaturation(.init(pool: "p", namespace: "n")), owner: "o")
        #expect(spaced.sources.first?.description.contains(#"{inference_pool="p",namespace="n"}"#) == true)
    }

    @Test(arguments: [(nil, 0.0), (1.0, 0.0), (0.25, 0.75), (0.0, 1.0)] as [(Double?, Double)])
    func saturationFailsClosedUnlessToldASaturationToAssume(fallback: Double?, budget: Double) {
        var bench = GateBench(.prometheusSaturation(.init(pool: "p", fallback: fallback)))
        #expect(bench.budget == budget, "before the first reading")
        bench.read(.value(.nan))
        #expect(bench.budget == budget, "without a sample")
        bench.read(.failed("refused"))
        #expect(bench.budget == budget, "without an answer")
    }

    @Test func aStaleReadingCountsAsFailed() {
        var bench = GateBench(.prometheusSaturation(.init(pool: "p")))
        bench.read(.value(1))
        bench.pass(15)
        #expect(isNear(bench.budget, 0.8))
        #expect(bench.gate.opensAt(now: bench.now) == nil)
        bench.pass(0.001)
        #expect(bench.budget == 0)
        #expect(bench.gate.statuses(now: bench.now)[0].sourceProblem == "the last reading is too old")
        let slow = DispatchGate(.constant(budget: 1), owner: "o", readingInterval: .seconds(30))
        #expect(slow.budget(now: .zero) == 1)
        var rare = DispatchGate(.prometheusQuery(.init(query: "q")), owner: "o", readingInterval: .seconds(30))
        rare.observe(.value(1), of: .prometheus(query: "q"), now: .zero)
        #expect(rare.budget(now: Instant(seconds: 90)) == 1 && rare.budget(now: Instant(seconds: 91)) == 0)
    }

    @Test func aGateWhoseFallbackIsWiderOpensWhenItsReadingGrowsOld() {
        var bench = GateBench(.prometheusSaturation(.init(pool: "p", fallback: 0)), staleAfter: .seconds(20))
        bench.read(.value(0))
        let opening = bench.gate.opensAt(now: bench.now)
        #expect(opening.map { $0 > bench.now + .seconds(20) && $0 < bench.now + .seconds(21) } == true)
        bench.pass(20.001)
        #expect(bench.budget == 1 && bench.gate.opensAt(now: bench.now) == nil)
    }

    @Test func theBudgetCascadesOverThreeQueriesAndTheFirstWithASampleWins() {
        var bench = GateBench(.prometheusBudget(.init(pool: "p", maxConcurrency: 12.5)))
        #expect(bench.gate.sources.count == 3)
        bench.read(.value(0.35), where: "num_requests_running")
        #expect(isNear(bench.budget, 0.3))
        bench.read(.value(0.55), where: "per_pod_queue_size")
        #expect(isNear(bench.budget, 0.5))
        bench.read(.value(0.05), where: "flow_control_queue_size")
        #expect(bench.budget == 0, "D ≤ B closes")
        bench.read(.failed("down"), where: "flow_control_queue_size")
        #expect(isNear(bench.budget, 0.5))
        bench.read(.value(.infinity), where: "per_pod_queue_size")
        #expect(isNear(bench.budget, 0.3))
        bench.read(.absent)
        #expect(bench.budget == 0)
    }

    @Test func theBudgetQueriesAggregateSoThatOrIsExact() {
        let gate = DispatchGate(.prometheusBudget(.init(pool: "p", namespace: "n")), owner: "o")
        let capacity =
            #"((max(llm_d_epp_ready_endpoints{name="p",namespace="n"}) or max(inference_pool_ready_pods{name="p",namespace="n"})) * 100)"#
        let queued =
            #"(sum(llm_d_epp_flow_control_queue_size{inference_pool="p",namespace="n"}) "#
            + #"or sum(inference_extension_flow_control_queue_size{inference_pool="p",namespace="n"}))"#
        let perPod =
            #"(avg(llm_d_epp_per_endpoint_queue_size{name="p",namespace="n"}) "#
            + #"or avg(inference_pool_per_pod_queue_size{name="p",namespace="n"}))"#
        #expect(
            gate.sources == [
                .prometheus(query: "1 - \(queued) / \(capacity)"), .prometheus(query: "1 - \(perPod) / 100"),
                .prometheus(
                    query: #"1 - sum(vllm:num_requests_running{inference_pool="p",namespace="n"}) / \#(capacity)"#),
            ])
    }

    @Test func aQueryIsTheBudgetItself() {
        var bench = GateBench(.prometheusQuery(.init(query: "my_budget", fallback: 0.3)))
        #expect(bench.gate.sources == [.prometheus(query: "my_budget")])
        #expect(isNear(bench.budget, 0.3))
        bench.read(.value(0.7))
        #expect(isNear(bench.budget, 0.7))
        bench.read(.value(3))
        #expect(bench.budget == 1)
        bench.read(.value(0))
        #expect(bench.budget == 0 && bench.apply(1).isRefuse)
    }

    @Test func oneQueryOfSeveralElementsIsOneSource() {
        let gate = DispatchGate(
            .composite([
                .prometheusQuery(.init(query: "q")), .waitOnRefuse(.prometheusQuery(.init(query: "q"))),
                .tierPriorityAdmission(.init(saturationGate: .prometheusQuery(.init(query: "q")))),
            ]), owner: "o")
        #expect(gate.sources == [.prometheus(query: "q")])
    }

    @Test func statusesShowValueThresholdAndAvailability() {
        var bench = GateBench(.prometheusSaturation(.init(pool: "p", threshold: 0.7)))
        bench.read(.value(0.5))
        let status = bench.gate.statuses(now: bench.now)[0]
        #expect(status.type == "prometheus-saturation" && status.inferencePool == "p")
        #expect(status.metricValue == 0.5 && isNear(status.metricThreshold ?? 0, 0.3))
        #expect(status.isSourceAvailable == true && isNear(status.budget, 0.2))
        bench.read(.failed("connection refused"))
        let failed = bench.gate.statuses(now: bench.now)[0]
        #expect(failed.isSourceAvailable == false && failed.sourceProblem == "connection refused")
        #expect(failed.metricValue == nil && failed.budget == 0)
    }
}
