import Basics
import DispatchGates
import EngineModel
import Foundation
import Testing

@testable import Lab

@Suite("Gates")
struct GateScenarioTests {
    private func run(_ names: [String] = [], seconds: Double, seed: UInt64 = 1) throws -> LabReport {
        var options = LabOptions()
        options.seed = seed
        options.duration = .seconds(seconds)
        options.policies = try names.map { name throws(LabError) in try Policy(named: name) }
        return try Lab.run(.named("gates"), options: options)
    }

    private func control(_ name: String, in report: LabReport) throws -> PolicyResult.GateControl {
        try #require(report.policies.first { $0.policy.name == name }?.gate)
    }

    @Test("Every gate runs beside weir and reaches all three forms of the report")
    func everyGate() throws {
        let report = try run(seconds: 15)
        let kinds = Set(
            report.policies.compactMap { result in
                if case .gate(let gate) = result.policy { gate.kind } else { nil }
            })
        #expect(kinds == Set(GatePolicy.Kind.allCases))
        #expect(report.policies.contains { $0.policy == .weir(enginePriority: false) })
        let object = try #require(
            try JSONSerialization.jsonObject(with: Data(report.json().utf8)) as? [String: Any])
        let policies = try #require(object["policies"] as? [[String: Any]])
        #expect(policies.count == report.policies.count)
        for policy in policies {
            let gate = try #require(policy["gate"] as? [String: Any])
            #expect(
                Set(gate.keys) == [
                    "signal", "threshold", "mean_saturation", "p99_saturation", "peak_saturation", "peak_overshoot",
                    "mean_overshoot", "share_beyond",
                ])
        }
        for result in report.policies {
            #expect(report.html().contains("<td>\(result.policy.name)</td>"))
            if result.policy != .onlineOnly { #expect(result.batch.served > 0, "\(result.policy.name)") }
        }
        #expect(report.text().components(separatedBy: "\n").dropFirst(2).allSatisfy { $0.count <= 120 })
    }

    @Test("The same seed gives the same bytes")
    func determinism() throws {
        let names = ["weir", "gate-composite-15", "poll-saturation-5", "gate-aimd"]
        let first = try run(names, seconds: 60)
        let second = try run(names, seconds: 60)
        #expect(first.json() == second.json() && first.text() == second.text() && first.html() == second.html())
        #expect(try run(["gate-aimd"], seconds: 60, seed: 2).json() != run(["gate-aimd"], seconds: 60).json())
    }

    @Test("Other scenarios watch no gate")
    func otherScenarios() throws {
        var options = LabOptions()
        options.duration = .seconds(20)
        options.policies = [.gate(GatePolicy(.saturation, every: 1))]
        let report = try Lab.run(.named("colocate"), options: options)
        #expect(report.policies[0].gate == nil && report.policies[0].batch.served > 0)
        #expect(!report.json().contains("\"gate\"") && !report.text().contains("closes at"))
    }

    @Test("Old readings cost more time beyond the threshold, and a local limit is never exceeded")
    func overshoot() throws {
        let report = try run(
            ["online-only", "gate-constant", "gate-saturation-1", "gate-saturation-15", "gate-local-max", "gate-aimd"],
            seconds: 450)
        let idle = try control("online-only", in: report)
        let fresh = try control("gate-saturation-1", in: report)
        let stale = try control("gate-saturation-15", in: report)
        let open = try control("gate-constant", in: report)
        #expect(fresh.meanOvershoot < stale.meanOvershoot)
        #expect(stale.meanOvershoot < open.meanOvershoot)
        let local = try control("gate-local-max", in: report)
        #expect(local.peakOvershoot == 0 && local.shareBeyond == 0)
        // What is beyond the threshold without any batch work is the surges' own.
        let learned = try control("gate-aimd", in: report)
        #expect(learned.meanOvershoot < idle.meanOvershoot + 0.01)
        #expect(learned.meanOvershoot < fresh.meanOvershoot)
    }

    private func simulated(
        _ policy: GatePolicy, _ configuration: GateConfiguration? = nil, seconds: Double = 60, replicas: Int = 1,
        check: @escaping (Fleet, GateDispatcher, Instant) -> Void = { _, _, _ in }
    ) throws -> FinishedWorld {
        let engine = try #require(EngineConfiguration.preset(named: "llama-8b-h100"))
        let setup = WorldSetup(
            trace: Trace.generatedConversation(seed: 5).cut(to: .seconds(seconds)), supply: .endless,
            job: .generatedSummarization(seed: 6), engineConfiguration: engine, replicas: replicas, seed: 5,
            hidesLengths: false)
        let dispatcher = GateDispatcher(policy, engine: engine, replicas: replicas, configuration: configuration)
        return simulate(
            setup, with: WatchedDispatcher(inner: dispatcher) { _, fleet, inner, now in check(fleet, inner, now) })
    }

    @Test(
        "A closed gate serves nothing",
        arguments: [
            GateConfiguration.constant(budget: 0), .prometheusQuery(.init(query: "nobody answers this")),
            .composite([.constant(budget: 1), .redis(.init(address: "gone"))]),
        ])
    func closed(configuration: GateConfiguration) throws {
        for polls in [false, true] {
            let world = try simulated(GatePolicy(.localMax, polls: polls), configuration)
            #expect(world.fleet.batchSends == 0 && world.fleet.batchFinished == 0)
            #expect(world.fleet.realtimeFinished == world.fleet.realtimeCount)
        }
    }

    @Test("What is in flight is within the budget's share of the workers and within the gate's own count")
    func inFlight() throws {
        var most = 0
        let quarter = try simulated(GatePolicy(.constant), .constant(budget: 0.25), replicas: 2) { fleet, _, _ in
            most = max(most, fleet.batchInFlight)
        }
        #expect(most == 32 && quarter.fleet.batchFinished > 0)
        most = 0
        var leaked = 0
        let local = try simulated(GatePolicy(.localMax), replicas: 2) { fleet, inner, _ in
            most = max(most, inner.gate.heldCount)
            leaked = max(leaked, fleet.batchInFlight - inner.gate.heldCount)
        }
        #expect(most == 100 && leaked == 0 && local.fleet.batchFinished > 0)
    }

    @Test("A learning gate sends no more than its windows, and gives every place back")
    func windows() throws {
        var mismatches = 0
        let world = try simulated(GatePolicy(.aimd), seconds: 200) { fleet, inner, now in
            let held = inner.gate.heldCount
            if inner.gate.statuses(now: now)[0].windows.contains(where: { $0.inFlight != held }) { mismatches += 1 }
            if fleet.batchInFlight > held { mismatches += 1 }
        }
        #expect(mismatches == 0 && world.fleet.batchFinished > 100)
    }

    @Test("Polling takes no more than its batch at a time")
    func polling() throws {
        var excess = 0
        let world = try simulated(GatePolicy(.constant, polls: true), seconds: 30) { fleet, _, now in
            excess = max(excess, fleet.batchSends - 10 * (Int(now.seconds) + 1))
        }
        #expect(excess == 0 && world.fleet.batchSends > 100)
    }

    @Test(
        "Names of gate policies read back as themselves",
        arguments: [
            "gate-constant", "gate-saturation-1", "poll-saturation-15", "gate-local-max", "gate-aimd",
            "poll-composite-5",
        ])
    func names(name: String) throws {
        #expect(try Policy(named: name).name == name)
    }

    @Test(
        "Unknown gate policies are refused",
        arguments: [
            "gate-", "gate-open", "gate-aimd-5", "gate-saturation-0", "gate-saturation-61", "poll", "gate-local-max-3",
        ])
    func unknownNames(name: String) {
        #expect(throws: LabError.unknownPolicy(name)) { try Policy(named: name) }
    }

    @Test("Levels are weighted by the time they held")
    func levels() {
        var watch = LevelWatch(threshold: 2)
        watch.observe(1, now: .zero)
        watch.observe(100, now: Instant(seconds: 3))
        watch.observe(5, now: Instant(seconds: 3))
        watch.observe(0, now: Instant(seconds: 4))
        #expect(watch.mean == 2 && watch.peak == 5 && watch.peakExcess == 3)
        #expect(watch.meanExcess == 0.75 && watch.shareAbove == 0.25)
        #expect(watch.value(at: 0.75) == 1 && watch.value(at: 0.76) == 5)
    }
}
