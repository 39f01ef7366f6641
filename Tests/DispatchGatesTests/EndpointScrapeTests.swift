import Basics
import DispatchGates
import Testing

@Suite struct EndpointScrapeTests {
    private func bench(_ change: (inout GateConfiguration.EndpointScrape) -> Void = { _ in }) -> GateBench {
        var gate = GateConfiguration.EndpointScrape(url: "http://e/metrics", metric: "waiting")
        change(&gate)
        return GateBench(.endpointScrape(gate))
    }

    @Test(arguments: [(0.0, 1.0), (0.3, 0.7), (1.0, 0.0), (2.0, 0.0), (-1.0, 1.0)])
    func aShareIsTakenAsSaturation(value: Double, budget: Double) {
        var bench = bench()
        bench.read(.value(value))
        #expect(isNear(bench.budget, budget))
    }

    @Test(arguments: [(0.0, 0.9), (2.0, 0.5), (4.5, 0.0), (5.0, 0.0), (9.0, 0.0)])
    func aCountIsTakenOverTheCapacityLessTheBaseline(value: Double, budget: Double) {
        var bench = bench {
            $0.maxCountPerPod = 5
            $0.baseline = 0.1
        }
        bench.read(.value(value))
        #expect(isNear(bench.budget, budget))
    }

    @Test func podsMultiplyTheCapacity() {
        var bench = bench {
            $0.maxCountPerPod = 5
            $0.podsURL = "http://p/metrics"
            $0.podsMetric = "ready"
            $0.podsLabels = ["name": "pool"]
        }
        #expect(
            bench.gate.sources == [
                .scrape(url: "http://e/metrics", metric: "waiting", labels: [:]),
                .scrape(url: "http://p/metrics", metric: "ready", labels: ["name": "pool"]),
            ])
        bench.read(.value(5), where: "waiting")
        #expect(bench.budget == 0, "pods unknown")
        bench.read(.value(4), where: "ready")
        #expect(isNear(bench.budget, 0.75))
        bench.read(.value(0), where: "ready")
        #expect(bench.budget == 0, "no pods")
    }

    @Test(arguments: [(0.0, 0.0), (0.25, 0.15), (1.0, 0.9)])
    func aBudgetIsTakenAsItIs(value: Double, budget: Double) {
        var bench = bench {
            $0.valueType = .budget
            $0.baseline = 0.1
        }
        bench.read(.value(value))
        #expect(isNear(bench.budget, budget))
    }

    @Test func anAbsentSampleIsTheAssumedValueAndAFailureIsNot() {
        var plain = bench()
        plain.read(.absent)
        #expect(plain.budget == 0)
        var assuming = bench {
            $0.maxCountPerPod = 5
            $0.absentValue = 1
        }
        assuming.read(.absent)
        #expect(isNear(assuming.budget, 0.8))
        assuming.read(.failed("404"))
        #expect(assuming.budget == 0)
    }

    @Test func theFallbackIsABudget() {
        var bench = bench { $0.fallback = 0.4 }
        bench.read(.failed("404"))
        #expect(bench.budget == 0.4 && bench.apply(1).isProceed)
    }

    @Test func countedAdmissionLetsInWhatTheLastReadingLeftFree() {
        var bench = bench {
            $0.maxCountPerPod = 5
            $0.admission = .counted
        }
        #expect(bench.apply(9).isRefuse)
        bench.read(.value(2.5))
        #expect(bench.budget == 1)
        #expect(bench.apply(1).isProceed && bench.apply(2).isProceed)
        #expect(bench.apply(3).isRefuse && bench.budget == 0)
        bench.gate.release(1)
        #expect(bench.apply(3).isRefuse, "what is over shows in the next reading")
        bench.gate.withdraw(2)
        #expect(bench.apply(3).isProceed, "what was never sent does not count")
        bench.read(.value(4))
        #expect(bench.apply(4).isProceed && bench.apply(5).isRefuse)
        bench.read(.failed("404"))
        #expect(bench.apply(6).isRefuse)
    }
}
