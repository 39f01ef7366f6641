import Basics
import EngineModel
import Foundation
import Testing

@testable import Lab

@Suite("Routing scenarios")
struct RoutingWorldTests {
    private func run(
        _ scenario: String, _ policies: String..., seconds: Double? = nil, loads: [Double] = [], replicas: Int? = nil,
        seed: UInt64 = 1
    ) throws -> LabReport {
        let scenario = try Scenario.named(scenario)
        var options = LabOptions()
        options.policies = try policies.map { name throws(LabError) in try Policy(named: name) }
        options.duration = seconds.map { .seconds($0) }
        options.loads = loads
        options.replicas = replicas ?? scenario.defaultReplicas
        options.seed = seed
        return try Lab.run(scenario, options: options)
    }

    @Test("Names of routers read back as themselves; llm-d's default has two", arguments: RoutingPolicy.allCases)
    func names(policy: RoutingPolicy) throws {
        #expect(try Policy(named: policy.rawValue) == .routed(policy))
        #expect(Policy.routed(policy).name == policy.rawValue)
        #expect(Policy.patterns.contains(policy.rawValue))
        #expect(try Policy(named: "llm-d-default").name == "llm-d-322")
    }

    @Test("Routers that know the caches beat round robin where prompts share beginnings", arguments: UInt64(1)...2)
    func sharedPrompts(seed: UInt64) throws {
        let results = try run(
            "prefix", "round-robin", "random", "llm-d-3222", "llm-d-322", "llm-d-affinity", seconds: 100, loads: [2],
            seed: seed
        ).policies.map { try #require($0.routing) }
        for llmd in results[2...] {
            #expect(llmd.prefixHitRatio > results[0].prefixHitRatio + 0.2)
            #expect(llmd.ttftMeanMilliseconds < 0.9 * results[0].ttftMeanMilliseconds)
        }
        #expect(results[1].ttftMeanMilliseconds > results[0].ttftMeanMilliseconds, "chance spreads worse than turns")
        #expect(results.allSatisfy { $0.imbalance >= 1 && $0.endToEndMeanMilliseconds > $0.ttftMeanMilliseconds })
    }

    @Test("A sweep has one result per load and policy, and higher loads wait longer")
    func sweep() throws {
        let report = try run("prefix", "round-robin", "least-requests", seconds: 40, loads: [1, 4], replicas: 1)
        #expect(report.policies.map(\.load) == [1, 1, 4, 4])
        #expect(
            report.policies.map(\.policy.name) == ["round-robin", "least-requests", "round-robin", "least-requests"])
        let means = report.policies.compactMap { $0.routing?.ttftMeanMilliseconds }
        #expect(means[2] > means[0] && means[3] > means[1])
        let object = try #require(
            try JSONSerialization.jsonObject(with: Data(report.json().utf8)) as? [String: Any])
        let policies = try #require(object["policies"] as? [[String: Any]])
        #expect(policies.map { $0["load"] as? Double } == [1, 1, 4, 4])
        for policy in policies {
            #expect(Set(policy.keys) == ["name", "realtime", "batch", "load", "routing", "virtual_s", "wall_s"])
            let routing = try #require(policy["routing"] as? [String: Double])
            #expect(
                Set(routing.keys) == [
                    "ttft_mean_ms", "tpot_mean_ms", "e2e_mean_ms", "prefix_hit_ratio", "imbalance",
                ])
        }
        #expect(report.text().contains("round-robin x4.00"))
        #expect(report.html().contains("round-robin x4.00"))
    }

    @Test("Scraped metrics send a burst where they last saw room; own counters spread it", arguments: UInt64(1)...2)
    func herd(seed: UInt64) throws {
        let results = try run("herd", "round-robin", "llm-d-322", "least-requests", seed: seed).policies
        let herds = try results.map { try #require($0.herd) }
        #expect(herds[0].equal.requestSpread == 1 && herds[0].mixed.requestSpread == 1)
        #expect(herds[1].equal.requestSpread > 1.5 && herds[1].mixed.tokenSpread > 1.5)
        #expect(herds[2].equal.requestSpread < 1.15)
        #expect(herds[1].equal.lastFirstTokenMilliseconds > 1.5 * herds[0].equal.lastFirstTokenMilliseconds)
        #expect(herds[0].equal.tokenSpread == 1 && herds[0].mixed.tokenSpread > 1)
    }

    @Test("Beside an aggressor, first come first served makes everybody wait and serves who asks most")
    func unfairness() throws {
        let result = try #require(try run("fairness", "least-requests", seconds: 60, replicas: 1).policies.first)
        let fairness = try #require(result.fairness)
        #expect(fairness.inflation > 0.5)
        #expect(fairness.aloneTTFT99Milliseconds > 0)
        #expect(fairness.jainIndex < 0.8)
        #expect(fairness.backloggedTenants == 6)
        #expect(fairness.lowBand.longestWaitSeconds > 1)
        #expect(fairness.lowBand.rejected == 0)
        #expect(fairness.ageingLowBand == nil, "it knows no ageing")
        #expect(fairness.aggressorServed > 0.99)
    }

    @Test("Weir keeps an aggressor from the others, shares a flood evenly and lets the low band age")
    func fairness() throws {
        let report = try run("fairness", "weir", seconds: 60, replicas: 1, seed: 7)
        let fairness = try #require(report.policies.first?.fairness)
        #expect(fairness.inflation < 0.25, "one run of a minute: the bar of a tenth is for five of three")
        #expect(fairness.othersRejected == 0)
        #expect((0.1..<0.9).contains(fairness.aggressorServed))
        #expect(fairness.backloggedTenants == 6 && fairness.jainIndex >= 0.98)
        let ageing = try #require(fairness.ageingLowBand)
        #expect(ageing.rejected == 0)
        #expect(ageing.longestWaitSeconds < FairnessTraffic.ageingBound.seconds + 3)
        #expect(fairness.lowBand.longestWaitSeconds > 2 * ageing.longestWaitSeconds)
        #expect(report.text().contains("ageing s"))
    }

    @Test("The steady tenants send the same with and without the aggressor, and it sends ten times as much as one")
    func tenants() {
        let traffic = FairnessTraffic(replicas: 1, scale: 1, seed: 3, duration: .seconds(120))
        func lengths(_ trace: Trace) -> [Int] {
            trace.requests.filter { FairnessTraffic.isSteady($0.flow) }.map(\.promptTokens)
        }
        #expect(lengths(traffic.alone) == lengths(traffic.beside))
        let aggressor = traffic.beside.requests.count { !FairnessTraffic.isSteady($0.flow) }
        let one = Double(traffic.alone.requests.count) / 10
        #expect(abs(Double(aggressor) / one - 10) < 1)
        #expect(Set(traffic.flood.requests.map(\.flow)).count == 6)
        #expect(Set(traffic.bands.requests.map(\.priority)) == [0, 10])
    }

    @Test("Jain's index by hand: equal shares 1, one of four that gets all 1/4")
    func jain() {
        #expect(FairnessFigures.jain([3, 3, 3]) == 1)
        #expect(FairnessFigures.jain([8, 0, 0, 0]) == 0.25)
        #expect(abs(FairnessFigures.jain([1, 2, 3]) - 36.0 / 42) < 1e-12)
        #expect(FairnessFigures.jain([]) == 1)
    }

    @Test("The busiest over the mean, by hand")
    func spreads() {
        #expect(spread([2, 2, 2]) == 1)
        #expect(spread([4, 0, 0, 0]) == 4)
        #expect(spread([3, 1]) == 1.5)
        #expect(spread([]) == 1 && spread([0, 0]) == 1)
    }

    @Test("The same seed gives the same bytes; another one does not", arguments: ["prefix", "herd", "fairness"])
    func determinism(scenario: String) throws {
        func bytes(_ seed: UInt64) throws -> String {
            let report = try run(
                scenario, "llm-d-3222", "weir", seconds: 8, loads: [1], replicas: 2, seed: seed)
            return report.json() + report.text()
        }
        let first = try bytes(1)
        #expect(try bytes(1) == first)
        #expect(try bytes(2) != first)
    }

    @Test("Batch work is no part of these scenarios, and every request ends")
    func realtimeOnly() throws {
        for scenario in ["prefix", "herd", "fairness"] {
            let report = try run(scenario, "llm-d-affinity", "ungated-4", seconds: 8, loads: [1], replicas: 2)
            for result in report.policies {
                #expect(result.batch.attempts == 0)
                #expect(result.realtime.requests > 0)
                #expect(result.fairness != nil || scenario != "fairness")
                #expect(result.herd != nil || scenario != "herd")
            }
        }
    }
}
