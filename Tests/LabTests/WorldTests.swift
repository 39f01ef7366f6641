import Basics
import EngineModel
import Harvest
import Pool
import PoolScheduler
import Testing

@testable import Lab

@Suite("Worlds")
struct WorldTests {
    static let allPolicies = [
        "online-only", "ungated-8", "engine-priority-8", "live-cap-40", "budget-gate", "weir", "weir-engine-priority",
        "oracle-25",
    ]

    private func setup(
        supply: BatchSupply.Kind, seconds: Double = 60, scale: Double = 1, replicas: Int = 1,
        hidesLengths: Bool = false, seed: UInt64 = 3, engine change: (inout EngineConfiguration) -> Void = { _ in }
    ) throws -> WorldSetup {
        var engine = try #require(EngineConfiguration.preset(named: "llama-8b-h100"))
        change(&engine)
        let trace = Trace.generatedConversation(seed: seed).scaled(by: scale).cut(to: .seconds(seconds))
        return WorldSetup(
            trace: trace, supply: supply, job: .generatedSummarization(seed: 4), engineConfiguration: engine,
            replicas: replicas, seed: seed, hidesLengths: hidesLengths)
    }

    private func weir(_ setup: WorldSetup, harvest: HarvestConfiguration = .init()) -> WeirDispatcher {
        WeirDispatcher(replicas: setup.replicas, harvest: harvest, hidesLengths: setup.hidesLengths)
    }

    @Test("Every real-time request ends and every batch request is somewhere", arguments: allPolicies)
    func conservation(policy name: String) throws {
        var options = LabOptions()
        options.policies = [try Policy(named: name)]
        options.duration = .seconds(90)
        options.scale = 2
        let result = try #require(
            try Lab.run(.named("colocate"), options: options).policies.first)
        #expect(result.realtime.requests > 500)
        #expect(result.realtime.rejected == 0)
        #expect(result.batch.dropped == 0)
        #expect(result.batch.served <= result.batch.submitted)
        #expect(result.batch.attempts >= result.batch.submitted)
        #expect((result.batch.submitted > 0) == (name != "online-only"))
    }

    @Test(
        "Messages are served or dropped, each once",
        arguments: ["direct", "weir", "ungated-16", "budget-gate", "oracle-30"])
    func pushedMessages(policy name: String) throws {
        var options = LabOptions()
        options.policies = [try Policy(named: name)]
        options.duration = .seconds(30)
        options.messages = 300
        let result = try #require(
            try Lab.run(.named("push-story"), options: options).policies.first)
        #expect(result.batch.submitted == 300)
        #expect(result.batch.served + result.batch.dropped == 300)
        #expect((result.batch.dropped > 0) == (name == "direct"))
    }

    @Test("The books of a world balance: tokens computed, sends, requests in flight")
    func books() throws {
        let setup = try setup(supply: .push(messages: 200, perSecond: 100), replicas: 2)
        let world = simulate(setup, with: weir(setup))
        let fleet = world.fleet
        #expect(fleet.batchInFlight == 0 && fleet.realtimeInFlight == 0)
        #expect(fleet.batchFinished == 200)
        #expect(fleet.requests.allSatisfy { $0.state == .finished && $0.finished >= $0.firstToken })
        #expect(fleet.requests.allSatisfy { $0.firstToken - $0.arrival >= .milliseconds(20) })
        #expect(fleet.computedTokens >= fleet.usefulTokens)
        if fleet.batchSends == 200 { #expect(fleet.computedTokens == fleet.usefulTokens) }
        let sent = fleet.requests[fleet.realtimeCount...].reduce(0) { $0 + Int($1.attempts) }
        #expect(sent == fleet.batchSends)
    }

    @Test("What an engine is believed to be before it has worked costs nobody anything", arguments: [1.0 / 3, 3])
    func wrongPrior(factor: Double) throws {
        func result(_ factor: Double) throws -> PolicyResult {
            var options = LabOptions()
            options.policies = [.weir(enginePriority: false)]
            options.duration = .seconds(600)
            options.priorFactor = factor
            return try #require(try Lab.run(.named("colocate"), options: options).policies.first)
        }
        let (wrong, usual) = (try result(factor), try result(1))
        #expect(wrong.realtime.good > usual.realtime.good - 0.002)
        #expect(wrong.batch.requestsPerSecond > 0.97 * usual.batch.requestsPerSecond)
    }

    @Test("While a real-time request waits, weir starts no batch request")
    func strictness() throws {
        let setup = try setup(supply: .endless, seconds: 40, scale: 3) { $0.maxSequences = 12 }
        var mostWaiting = 0
        var starts = 0
        var violations = 0
        let dispatcher = WatchedDispatcher(inner: weir(setup)) { before, after, inner, _ in
            let waiting = inner.scheduler.queueDepths.reduce(0) { $0 + ($1.priority >= 0 ? $1.requests : 0) }
            mostWaiting = max(mostWaiting, waiting)
            let started = after.batchSends - before.batchSends
            starts += started
            if waiting > 0, started > 0 { violations += 1 }
        }
        let world = simulate(setup, with: dispatcher)
        #expect(violations == 0)
        #expect(mostWaiting > 5, "the world must be saturated for this to mean anything")
        #expect(starts > 0, "and batch must run at times")
        #expect(world.fleet.realtimeFinished + world.fleet.realtimeRejected == world.fleet.realtimeCount)
    }

    @Test("What weir calls back is served later, and its lost work is counted")
    func callBacks() throws {
        // Twelve places, filled by batch while traffic is low, have to be given up in the surge.
        var setup = try setup(supply: .push(messages: 150, perSecond: 1000), seconds: 60) { $0.maxSequences = 12 }
        setup.trace = setup.trace.surging(from: Instant(seconds: 20), to: Instant(seconds: 50), factor: 6)
        let world = simulate(setup, with: weir(setup))
        #expect(world.fleet.batchFinished == 150)
        #expect(world.fleet.batchSends > 150)
        #expect(world.fleet.computedTokens > world.fleet.usefulTokens)
    }

    @Test("A live cap never starts batch beyond the cap, workers never exceed their number")
    func caps() throws {
        for (limit, countsRealtime) in [(24, true), (7, false)] {
            let setup = try setup(supply: .endless, scale: 2, replicas: 2)
            var violations = 0
            let dispatcher = WatchedDispatcher(
                inner: CapDispatcher(limit: limit, countsRealtime: countsRealtime)
            ) { before, after, _, _ in
                for replica in 0..<2 where after.batchOnReplica[replica] > before.batchOnReplica[replica] {
                    let realtime = countsRealtime ? after.realtimeOnReplica[replica] : 0
                    if after.batchOnReplica[replica] + realtime > limit { violations += 1 }
                }
            }
            let world = simulate(setup, with: dispatcher)
            #expect(violations == 0)
            #expect(world.fleet.batchFinished > 0)
            let books = world.atTraceEnd
            #expect(books.submitted == books.served + books.dropped + books.inFlight)
        }
    }

    @Test("The budget gate acts at whole seconds and not at all while its cached metric says full")
    func budgetGate() throws {
        let setup = try setup(supply: .endless, seconds: 40)
        var sendTimes: [Double] = []
        let dispatcher = WatchedDispatcher(inner: BudgetGateDispatcher(maxConcurrency: 24)) { before, after, _, now in
            if after.batchSends > before.batchSends { sendTimes.append(now.seconds) }
        }
        _ = simulate(setup, with: dispatcher)
        #expect(sendTimes.allSatisfy { $0 == $0.rounded() })
        #expect(sendTimes.count > 3)
        #expect(sendTimes.count < 38, "a closed gate must have skipped polls")
    }

    @Test("The gate of direct pushing closes on metrics that are up to 50 ms old")
    func directGate() throws {
        let setup = try setup(supply: .push(messages: 2000, perSecond: 1000), seconds: 30)
        let world = simulate(setup, with: DirectDispatcher())
        let served = world.fleet.batchFinished
        // At least what arrives before the first full scrape gets in, and far less than everything.
        #expect((50...400).contains(served), "\(served)")
        #expect(world.fleet.batchDropped == 2000 - served)
        #expect(world.fleet.batchSends == served, "nothing is retried")
    }

    @Test("Engine priority lets real-time requests overtake batch prompts that wait in the engine")
    func enginePriority() throws {
        func ttft99(_ name: String) throws -> Double {
            var options = LabOptions()
            options.policies = [try Policy(named: name)]
            options.duration = .seconds(120)
            options.scale = 2.2
            return try #require(try Lab.run(.named("colocate"), options: options).policies.first).realtime.ttft.p99
        }
        #expect(try ttft99("engine-priority-64") < 0.8 * ttft99("ungated-64"))
    }

    @Test("Hidden answer lengths make weir guess, and it still serves everything")
    func hiddenLengths() throws {
        let setup = try setup(supply: .push(messages: 150, perSecond: 1000), seconds: 40, hidesLengths: true)
        let world = simulate(setup, with: weir(setup))
        #expect(world.fleet.batchFinished == 150)
        #expect(world.fleet.realtimeFinished == world.fleet.realtimeCount)
    }

    @Test(
        "A real-time request that no replica could ever hold is refused and leaks no place",
        arguments: ["weir", "ungated-4"])
    func oversizedRequests(policy name: String) throws {
        let csv = """
            TIMESTAMP,ContextTokens,GeneratedTokens
            2023-11-16 18:15:46,100,5
            2023-11-16 18:15:47,900000,5
            2023-11-16 18:15:58,100,5
            """
        var options = LabOptions()
        options.policies = [try Policy(named: name)]
        let result = try #require(
            try Lab.run(
                .named("colocate"), options: options, files: LabFiles(trace: LabFile(name: "t", bytes: Array(csv.utf8)))
            ).policies.first)
        #expect(result.realtime.requests == 3)
        #expect(result.realtime.rejected == 1)
        #expect(abs(result.realtime.good - 2.0 / 3) < 1e-9)
        #expect(result.batch.served > 0)
    }

    @Test("Real-time requests are spread over replicas by real-time load, whatever batch work lies there")
    func routing() throws {
        let setup = try setup(supply: .endless, seconds: 60, scale: 4, replicas: 4)
        let world = simulate(setup, with: CapDispatcher(limit: 40, countsRealtime: true))
        let shares = (0..<4).map { replica in
            world.fleet.requests[..<world.fleet.realtimeCount].count { $0.replica == replica }
        }
        #expect(shares.allSatisfy { $0 > world.fleet.realtimeCount / 6 }, "\(shares)")
    }

    @Test("Messages past their window count as late, served or not")
    func lateMessages() throws {
        var options = LabOptions()
        options.policies = [.ungated(workers: 16), .weir(enginePriority: false)]
        options.duration = .seconds(30)
        options.messages = 300
        options.completionWindow = .seconds(15)
        let results = try Lab.run(.named("push-story"), options: options).policies
        #expect(results[0].batch.served == 300)
        #expect(results[0].batch.late > 100)
        #expect(results[1].batch.served + results[1].batch.dropped == 300)
        #expect(results[1].batch.late >= results[1].batch.dropped)
    }
}
