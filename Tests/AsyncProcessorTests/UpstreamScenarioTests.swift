import AsyncProcessor
import Basics
import Delivery
import EmbeddedQueue
import InferenceAPI
import MessageQueues
import Synchronization
import Testing

/// The acceptance scenarios of the upstream processor (shared reference `async-processor.md` 10), each in its stricter form,
/// on the embedded queue.
///
/// Its other rows are tested elsewhere: deleted pods in `CrashTests` (and with whole programs in `Tests/Processes`), health in
/// `TelemetryTests`, the pick-up time and the benchmark row by `make bench`. Gates, quotas as gates and tracing are no part
/// of this processor: whether the pool has slack is the scheduler's to decide (`PoolSchedulerTests`, `HarvestTests`).
@Suite(.timeLimit(.minutes(5))) struct UpstreamScenarioTests {
    private let plant: Plant

    init() throws { plant = try Plant() }

    // MARK: basic

    @Test func basicAResultComesUnderTheIDOfItsMessageAndNothingWaitsForATimer() async throws {
        let plant = try Plant(foreignPoll: .seconds(3600))
        let processor = plant.processor(ScriptedPool { _, _ in .status(200, body: "hello") })
        async let run: Void = processor.run()
        try await plant.submit(["a"])
        let result = try #require(try await plant.results(1).first)
        #expect(result.id == "a" && result.isSuccess && result.text("payload") == "hello")
        processor.stop()
        await run
        #expect(try await plant.queue.depth().results == 1)
    }

    // MARK: deadline order

    @Test func deadlineOrderTheEarliestDeadlineGoesFirstAndOfEqualOnesTheFirstSubmitted() async throws {
        let pool = ScriptedPool { _, _ in .status(200) }
        let processor = plant.processor(pool) { $0.maximumInFlight = 1 }
        try await plant.submit([
            plant.message("300", window: .seconds(300)), plant.message("100", window: .seconds(100)),
            plant.message("200", window: .seconds(200)), plant.message("100 again", window: .seconds(100)),
            plant.message("300 again", window: .seconds(300)), plant.message("200 again", window: .seconds(200)),
        ])
        async let run: Void = processor.run()
        let results = try await plant.results(6)
        #expect(results.map(\.id) == ["100", "100 again", "200", "200 again", "300", "300 again"])
        processor.stop()
        await run
    }

    @Test func deadlineOrderThePoolHasTheEarliestOfEachQueueToChooseFrom() async throws {
        let other = try Plant()
        let pool = ScriptedPool()
        let processors = [plant, other].map { plant in plant.processor(pool) { $0.lookahead = 1 } }
        // Windows of both queues, mixed; the later one of each pair is submitted first.
        let windows = [[40, 10, 90, 30, 60], [80, 20, 70, 50, 100]]
        for (plant, windows) in zip([plant, other], windows) {
            try await plant.submit(windows.map { plant.message("\($0)", window: .seconds(Double($0))) })
        }
        async let first: Void = processors[0].run()
        async let second: Void = processors[1].run()
        var left = windows.map(Set.init)
        var order: [Int] = []
        while !left.allSatisfy(\.isEmpty) {
            let queues = left.filter { !$0.isEmpty }
            await pool.until { pool in
                let offered = pool.offered.compactMap(Int.init)
                return queues.allSatisfy { !$0.isDisjoint(with: offered) }
            }
            // What the scheduler does with all that it has been offered.
            let offered = pool.requests.filter { pool.offered.contains($0.id) }
            let next = try #require(offered.min { $0.deadline < $1.deadline })
            pool.start(next.id)
            pool.end(next.id, .status(200))
            let window = try #require(Int(next.id))
            order.append(window)
            for index in left.indices { left[index].remove(window) }
        }
        #expect(order == [10, 20, 30, 40, 50, 60, 70, 80, 90, 100])
        for processor in processors { processor.stop() }
        _ = await (first, second)
    }

    // MARK: retries

    static let faults: [AttemptOutcome] =
        [500, 502, 503, 504, 529, 408, 409, 425].map { .status($0) }
        + TransportFailure.allCases.filter { $0 != .answerTooLong }.map { .failed($0, endpoint: "http://a") }
        + [
            .status(429), .status(429, retryAfter: .seconds(5)), .status(503, retryAfter: .seconds(5)), .noRoom,
            .rejected(.unavailable, reason: "no endpoint", retryAfter: nil),
        ]
        + DropReason.allCases.map { .status(503, dropReason: $0.rawValue) }

    /// That the results come within 120 s is shown in virtual time: `ConsumerTargetTests`.
    @Test(arguments: faults)
    func retryNoResultDuringFaultsAndOneForEachMessageAfter(fault: AttemptOutcome) async throws {
        let isHealthy = Mutex(false)
        let pool = ScriptedPool { _, _ in isHealthy.withLock { $0 } ? .status(200) : fault }
        let processor = plant.processor(pool)
        try await plant.submit(["a", "b", "c"], window: .seconds(1_000_000))
        async let run: Void = processor.run()
        while pool.requests.count < 20 {
            plant.clock.advance(.seconds(0.25))
            await Task.yield()
        }
        #expect(try await plant.queue.depth().results == 0)
        isHealthy.withLock { $0 = true }
        let results = try await plant.results(3, advancing: .seconds(0.25))
        #expect(Set(results.map(\.id)) == ["a", "b", "c"] && results.allSatisfy { $0.isSuccess })
        #expect(processor.counters.failed == 0 && processor.counters.deadLettered == 0)
        processor.stop()
        await run
        let depth = try await plant.queue.depth()
        #expect(depth.unfinished == 0 && depth.results == 3)
    }

    // MARK: expired

    @Test func expiredAMessagePastItsDeadlineHasExactlyOneTerminalRecordAndIsNotRun() async throws {
        let pool = ScriptedPool { _, _ in .status(200) }
        let processor = plant.processor(pool)
        async let run: Void = processor.run()
        try await plant.submit(["a"], window: .seconds(-100))
        let result = try #require(try await plant.results(1).first)
        #expect(result.id == "a" && result.errorCode == "DEADLINE_EXCEEDED" && result.number("attempts") == 0)
        try await plant.submit(["b"])
        #expect(try await plant.results(2).map(\.id) == ["a", "b"])
        processor.stop()
        await run
        #expect(pool.offers == ["b": 1])
        #expect(try await plant.queue.depth().unfinished == 0)
    }

    // MARK: drain

    @Test func gracefulDrainWhatHasStartedFinishesAndTheRestIsBackAtOnceForEverybodyToSee() async throws {
        let pool = ScriptedPool()
        let processor = plant.processor(pool) {
            $0.grace = .seconds(120)
            // The clock jumps too far for heartbeats.
            $0.leaseDuration = .seconds(600)
        }
        let other = try plant.client()
        async let run: Void = processor.run()
        try await plant.submit(["a", "b", "c"])
        await pool.until { $0.offered.count == 3 }
        pool.start("a")
        processor.stop()
        // The clock stands still, so no timer brings them back.
        while try await other.depth().ready < 2 { await Task.yield() }
        plant.clock.advance(.seconds(60))
        pool.end("a", .status(200))
        await run
        let depth = try await other.depth()
        #expect(depth.results == 1 && depth.ready == 2 && depth.leased == 0)
        #expect(pool.offers == ["a": 1, "b": 1, "c": 1])
    }

    @Test func shortDrainEverythingIsBackInTheQueue() async throws {
        let pool = ScriptedPool()
        let processor = plant.processor(pool) { $0.grace = .seconds(5) }
        async let run: Void = processor.run()
        try await plant.submit(["a", "b", "c"])
        await pool.until { $0.offered.count == 3 }
        for id in ["a", "b", "c"] { pool.start(id) }
        processor.stop()
        plant.clock.advance(.seconds(5))
        await run
        let depth = try await plant.queue.depth()
        #expect(depth.ready == 3 && depth.results == 0 && depth.leased == 0)
    }

    // MARK: tenants and classes

    @Test func multiTenantNobodyWaitsForAnothersBacklogInTheSameQueue() async throws {
        let pool = ScriptedPool { _, _ in .status(200) }
        let processor = plant.processor(pool) {
            $0.lookahead = 8
            $0.maximumInFlight = 4
        }
        try await plant.submit((0..<300).map { plant.message("big\($0)", window: .seconds(60), tenant: "big") })
        for tenant in ["small", "tiny"] {
            try await plant.submit((0..<20).map { plant.message("\(tenant)\($0)", tenant: tenant) })
        }
        async let run: Void = processor.run()
        let results = try await plant.results(340)
        let last = ["small", "tiny"].compactMap { tenant in
            pool.requests.lastIndex { $0.tenant == tenant }
        }
        // Three in turn, 20 of each; with a little slack for what one call of the queue hands out.
        #expect(last.count == 2 && last.allSatisfy { $0 < 3 * 20 + 8 }, "the last of them were \(last)")
        #expect(Set(results.map(\.id)).count == 340)
        processor.stop()
        await run
    }

    @Test func multiTenantATenantWhoseModelHasNoRoomDoesNotSlowAnother() async throws {
        let pool = ScriptedPool { request, _ in request.tenant == "throttled" ? .noRoom : .status(200) }
        let processor = plant.processor(pool) { $0.lookahead = 8 }
        try await plant.submit((0..<100).map { plant.message("t\($0)", model: "large", tenant: "throttled") })
        try await plant.submit((0..<100).map { plant.message("f\($0)", model: "small", tenant: "free") })
        async let run: Void = processor.run()
        // The clock stands still.
        #expect(try await plant.results(100).allSatisfy { $0.isSuccess && $0.id.hasPrefix("f") })
        processor.stop()
        await run
        #expect(try await plant.queue.depth().ready == 100)
    }

    @Test func reservedBeforeOverflowAHigherClassGoesNext() async throws {
        let pool = ScriptedPool()
        let processor = plant.processor(pool) { $0.maximumInFlight = 1 }
        try await plant.submit((0..<20).map { plant.message("overflow\($0)", window: .seconds(60)) })
        async let run: Void = processor.run()
        await pool.until { !$0.offered.isEmpty }
        try await plant.submit((0..<5).map { plant.message("reserved\($0)", priority: 1) })
        for count in 1...25 {
            await pool.until { !$0.offered.isEmpty }
            let id = try #require(pool.offered.first)
            pool.start(id)
            pool.end(id, .status(200))
            _ = try await plant.results(count)
        }
        let order = pool.requests.map(\.id)
        #expect(order == ["overflow0"] + (0..<5).map { "reserved\($0)" } + (1..<20).map { "overflow\($0)" })
        processor.stop()
        await run
    }

    /// Classes are strict, so the bound on how long a lower one may starve is each message's deadline: it then has its one
    /// result, with the reason, however much of the higher class still waits.
    @Test func reservedBeforeOverflowWhatStarvesIsReportedAtItsDeadline() async throws {
        let pool = ScriptedPool()
        let processor = plant.processor(pool) {
            $0.maximumInFlight = 1
            $0.leaseDuration = .seconds(600)
        }
        try await plant.submit((0..<100).map { plant.message("reserved\($0)", priority: 1) })
        try await plant.submit([plant.message("overflow", window: .seconds(30))])
        async let run: Void = processor.run()
        await pool.until { $0.offered == ["reserved0"] }
        pool.start("reserved0")
        plant.clock.advance(.seconds(31))
        let result = try #require(try await plant.results(1).first)
        #expect(result.id == "overflow" && result.errorCode == "DEADLINE_EXCEEDED")
        #expect(pool.offers["overflow"] == nil)
        processor.stop()
        pool.end("reserved0", .status(200))
        await run
    }
}
