import AsyncProcessor
import Basics
import Delivery
import EmbeddedQueue
import MessageQueues
import Synchronization
import Testing

@Suite(.timeLimit(.minutes(5))) struct AsyncProcessorTests {
    private let plant: Plant

    init() throws { plant = try Plant() }

    @Test func everyMessageGetsOneResult() async throws {
        let pool = ScriptedPool { _, _ in .status(200) }
        let processor = plant.processor(pool)
        async let run: Void = processor.run()
        let ids = (0..<1000).map { "m\($0)" }
        for start in stride(from: 0, to: 1000, by: 100) { try await plant.submit(Array(ids[start..<start + 100])) }
        let results = try await plant.results(1000)
        #expect(Set(results.map(\.id)) == Set(ids) && results.count == 1000)
        #expect(results.allSatisfy { $0.isSuccess })
        processor.stop()
        await run
        let counters = processor.counters
        #expect(counters.succeeded == 1000 && counters.dispatched == 1000)
        #expect(counters.held == 0 && counters.offered == 0 && counters.inFlight == 0)
        #expect(try await plant.queue.depth().unfinished == 0)
    }

    @Test func onlyTheLookaheadIsOfferedAndStartedRequestsMakeRoom() async throws {
        let pool = ScriptedPool()
        let processor = plant.processor(pool) { $0.lookahead = 4 }
        async let run: Void = processor.run()
        try await plant.submit((0..<20).map { "m\($0)" })
        await pool.until { $0.offered == ["m0", "m1", "m2", "m3"] }
        pool.start("m0")
        pool.start("m1")
        await pool.until { $0.offered == ["m2", "m3", "m4", "m5"] }
        #expect(processor.counters.inFlight == 2)
        pool.end("m0", .status(200))
        _ = try await plant.results(1)
        #expect(pool.offered.count == 4 && pool.highestOffered == 4, "an end makes no room among the offered")
        processor.stop()
        pool.end("m1", .status(200))
        await run
        #expect(try await plant.queue.depth().ready == 18)
    }

    @Test func noMoreThanTheBoundIsHeld() async throws {
        let pool = ScriptedPool()
        let processor = plant.processor(pool) {
            $0.lookahead = 4
            $0.maximumHeld = 6
        }
        async let run: Void = processor.run()
        try await plant.submit((0..<20).map { "m\($0)" })
        await pool.until { $0.offered.count == 4 }
        for id in ["m0", "m1", "m2", "m3"] { pool.start(id) }
        await pool.until { $0.offered.count == 2 }
        #expect(processor.counters.held == 6)
        processor.stop()
        for id in ["m0", "m1", "m2", "m3"] { pool.end(id, .status(200)) }
        await run
        #expect(processor.counters.leased == 6)
    }

    @Test func aFailureIsRetriedAfterItsBackoffAndNotBefore() async throws {
        let pool = ScriptedPool { _, offer in offer == 1 ? .status(503, retryAfter: .seconds(20)) : .status(200) }
        let processor = plant.processor(pool)
        async let run: Void = processor.run()
        try await plant.submit(["a"])
        try await plant.until { $0.delayed == 1 }
        plant.clock.advance(.seconds(19))
        #expect(try await plant.queue.depth().delayed == 1)
        plant.clock.advance(.seconds(7))
        let result = try #require(try await plant.results(1).first)
        #expect(result.isSuccess)
        #expect(result.number("attempts") == 2)
        processor.stop()
        await run
        #expect(processor.counters.retries == 1)
    }

    @Test func anEvictedRequestIsOfferedAgainAtOnce() async throws {
        let pool = ScriptedPool()
        let processor = plant.processor(pool) { $0.lookahead = 2 }
        async let run: Void = processor.run()
        try await plant.submit(["a", "b", "c"])
        await pool.until { $0.offered == ["a", "b"] }
        pool.start("a")
        await pool.until { $0.offered == ["b", "c"] }
        pool.end("a", .evicted)
        await pool.until { $0.offered == ["a", "b", "c"] }
        #expect(processor.counters.evictions == 1 && processor.counters.retries == 0)
        pool.start("a")
        pool.end("a", .status(200))
        let result = try #require(try await plant.results(1).first)
        #expect(result.number("attempts") == 2 && result.number("evictions") == 1)
        processor.stop()
        await run
    }

    @Test func aDeadlineEndsARequestWhereverItIs() async throws {
        let pool = ScriptedPool()
        let processor = plant.processor(pool) { $0.lookahead = 2 }
        async let run: Void = processor.run()
        try await plant.submit(["started", "waiting", "queued"], window: .seconds(10))
        await pool.until { $0.offered == ["started", "waiting"] }
        pool.start("started")
        await pool.until { $0.offered == ["waiting", "queued"] }
        try await plant.submit(["behind", "later"], window: .seconds(10))
        try await plant.submit(["not yet"], window: .seconds(11))
        plant.clock.advance(.seconds(10))
        let results = try await plant.results(5)
        #expect(Set(results.map(\.id)) == ["started", "waiting", "queued", "behind", "later"])
        #expect(results.allSatisfy { $0.errorCode == "DEADLINE_EXCEEDED" })
        await pool.until { $0.offered == ["not yet"] }
        #expect(pool.offers["behind"] == nil, "what is past its deadline is not offered")
        processor.stop()
        await run
        #expect(processor.counters.expired == 5)
    }

    @Test func leasesAreExtendedWhileMessagesAreHeld() async throws {
        let pool = ScriptedPool()
        let queue = ObservedQueue(plant.queue)
        let processor = plant.processor(pool, queue: queue) { $0.leaseDuration = .seconds(30) }
        async let run: Void = processor.run()
        try await plant.submit(["a"])
        await pool.until { $0.offered == ["a"] }
        for _ in 0..<10 {
            let version = queue.extensions.version
            await plant.clock.untilSomebodySleeps()
            plant.clock.advance(.seconds(10))
            await queue.extensions.wait(past: version)
        }
        #expect(try await plant.queue.lease(limit: 9, duration: .seconds(30), excluding: []).isEmpty)
        #expect(pool.offers == ["a": 1])
        pool.start("a")
        pool.end("a", .status(200))
        #expect(try await plant.results(1).first?.isSuccess == true)
        processor.stop()
        await run
        #expect(processor.counters.lostLeases == 0)
    }

    @Test func aStopReturnsWhatWaitsAtOnceAndLetsTheRestFinish() async throws {
        let pool = ScriptedPool()
        let processor = plant.processor(pool) { $0.lookahead = 2 }
        async let run: Void = processor.run()
        try await plant.submit(["a", "b", "c", "d"])
        await pool.until { $0.offered == ["a", "b"] }
        pool.start("a")
        await pool.until { $0.offered == ["b", "c"] }
        processor.stop()
        try await plant.until { $0.ready == 3 && $0.leased == 1 }
        pool.end("a", .status(200))
        await run
        #expect(try await plant.queue.results(after: 0, limit: 9).map(\.id) == ["a"])
        #expect(processor.counters.handedBack == 2)
    }

    @Test func theGraceOfAStopIsLimited() async throws {
        let pool = ScriptedPool()
        let processor = plant.processor(pool) { $0.grace = .seconds(5) }
        async let run: Void = processor.run()
        try await plant.submit(["a"])
        await pool.until { $0.offered == ["a"] }
        pool.start("a")
        processor.stop()
        plant.clock.advance(.seconds(5))
        await run
        let depth = try await plant.queue.depth()
        #expect(depth.ready == 1 && depth.results == 0)
    }

    @Test func cancellingReturnsEverythingAtOnce() async throws {
        let pool = ScriptedPool()
        let processor = plant.processor(pool)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await processor.run() }
            try await plant.submit(["a", "b"])
            await pool.until { $0.offered == ["a", "b"] }
            pool.start("a")
            group.cancelAll()
        }
        let depth = try await plant.queue.depth()
        #expect(depth.ready == 2 && depth.leased == 0)
    }

    @Test func aRandomWorldLosesNothingAndAnswersNothingTwice() async throws {
        let statuses = [200, 200, 400, 429, 500, 503]
        let pool = ScriptedPool { request, offer in
            // Reproducible whatever the order of the tasks: the outcome depends on the message and its turn only.
            var generator = SeededGenerator(seed: UInt64(request.sequence) &* 1000 &+ UInt64(offer))
            switch generator.unit() {
            case ..<0.2: return .evicted
            case ..<0.3: return .noRoom
            case ..<0.4: return .failed(.connectionLost, endpoint: "http://a")
            default: return .status(statuses[Int(generator.unit() * 6)])
            }
        }
        let processor = plant.processor(pool) { $0.lookahead = 16 }
        let ids = (0..<500).map { "m\($0)" }
        try await plant.submit(ids, window: .seconds(600))
        async let run: Void = processor.run()
        let results = try await plant.results(500, advancing: .seconds(0.25))
        processor.stop()
        await run
        #expect(results.count == 500 && Set(results.map(\.id)) == Set(ids))
        let counters = processor.counters
        #expect(counters.succeeded + counters.failed + counters.expired == 500)
        #expect(counters.evictions > 0 && counters.retries > 0)
    }

    @Test func aQueueThatFailsIsTriedAgain() async throws {
        let pool = ScriptedPool { _, _ in .status(200) }
        let calls = Mutex(0)
        let queue = ObservedQueue(plant.queue) { _ in
            let fails = calls.withLock { calls in
                calls += 1
                return !calls.isMultiple(of: 2)
            }
            if fails { throw MessageQueueError.locked(place: "here") }
        }
        let processor = plant.processor(pool, queue: queue, clock: SystemClock()) {
            $0.queuePause = .milliseconds(1)
            $0.maximumQueuePause = .milliseconds(1)
        }
        try await plant.submit((0..<50).map { "m\($0)" })
        async let run: Void = processor.run()
        #expect(try await plant.results(50).count == 50)
        processor.stop()
        await run
        #expect(processor.counters.queueErrors > 10)
        #expect(processor.counters.succeeded == 50)
    }

    @Test func anAttemptThatTakesTooLongIsTakenBackAndTriedAgain() async throws {
        let pool = ScriptedPool()
        let processor = plant.processor(pool) {
            $0.attemptTimeout = .seconds(60)
            // The clock jumps too far for heartbeats.
            $0.leaseDuration = .seconds(600)
        }
        async let run: Void = processor.run()
        try await plant.submit(["a"])
        await pool.until { $0.offered == ["a"] }
        pool.start("a")
        plant.clock.advance(.seconds(61))
        try await plant.until { $0.delayed == 1 }
        plant.clock.advance(.seconds(5))
        await pool.until { $0.offered == ["a"] }
        pool.start("a")
        pool.end("a", .status(200))
        let result = try #require(try await plant.results(1).first)
        #expect(result.isSuccess && result.number("attempts") == 2 && result.number("failures") == 1)
        processor.stop()
        await run
    }

    @Test func aDeadLetterThatIsRunAgainHasASecondResultOfAnotherGeneration() async throws {
        let pool = ScriptedPool { _, offer in offer <= 2 ? .status(500) : .status(200) }
        let processor = plant.processor(pool) { $0.retries.maximumFailures = 2 }
        async let run: Void = processor.run()
        try await plant.submit(["a"])
        let dead = try #require(try await plant.results(1, advancing: .seconds(0.25)).first)
        #expect(dead.errorCode == "INFERENCE_ERROR" && dead.text("error_message")?.contains("2 failures") == true)
        #expect(processor.counters.deadLettered == 1)
        let letters = try await plant.queue.deadLetters(after: 0, limit: 9)
        #expect(letters.map(\.message.id) == ["a"] && letters.first?.message.payload == Array("{}".utf8))
        #expect(try await plant.queue.redrive(.ids(["a"]), deadline: plant.clock.now() + .seconds(3600)) == 1)
        let results = try await plant.results(2)
        #expect(results.map(\.id) == ["a", "a"] && results[1].isSuccess)
        #expect(results[1].number("attempts") == 1, "what happened before does not count any more")
        let tokens = results.map { $0.text("request_token") }
        #expect(tokens[0] != nil && tokens[1] != nil && tokens[0] != tokens[1])
        processor.stop()
        await run
    }

    @Test func anIDThatIsUsedAgainNeverGetsTheAnswerOfItsFormerUse() async throws {
        let pool = ScriptedPool()
        pool.isStubborn = true
        let queue = ObservedQueue(plant.queue) { call in
            if call == .extend { throw MessageQueueError.locked(place: "here") }
        }
        let processor = plant.processor(pool, queue: queue)
        async let run: Void = processor.run()
        try await plant.submit(["a"])
        await pool.until { $0.offered == ["a"] }
        pool.start("a")
        // The lease runs out, for this consumer cannot extend it; the request is cancelled, forgotten and submitted again.
        #expect(try await plant.queue.cancel("a", tenant: nil, generation: nil) == .cancelling)
        plant.clock.advance(.seconds(16))
        let former = try #require(try await plant.results(1).first)
        #expect(former.errorCode == "CANCELLED")
        #expect(try await plant.queue.purge(.ids(["a"])).results == 1)
        try await plant.submit(["a"])
        await pool.until { $0.offers["a"] == 2 }
        pool.end("a", .status(200, body: "old"))
        while processor.counters.lostLeases == 0 { await Task.yield() }
        #expect(try await plant.queue.depth().results == 0)
        pool.start("a")
        pool.end("a", .status(200, body: "new"))
        let result = try #require(try await plant.results(1).first)
        #expect(result.text("payload") == "new")
        #expect(result.text("request_token") != former.text("request_token"))
        processor.stop()
        await run
    }

    @Test func aDeadModelDoesNotSlowAnother() async throws {
        let pool = ScriptedPool { request, _ in
            request.model == "dead" ? .failed(.connectFailed, endpoint: "http://a") : .status(200)
        }
        let processor = plant.processor(pool) { $0.lookahead = 8 }
        try await plant.submit((0..<300).map { "dead\($0)" }, window: .seconds(60), model: "dead")
        try await plant.submit((0..<300).map { "alive\($0)" }, window: .seconds(7200), model: "alive")
        async let run: Void = processor.run()
        // The clock stands still: nothing of the living model waits for a pause of the dead one.
        let results = try await plant.results(300)
        #expect(results.allSatisfy { $0.isSuccess && $0.id.hasPrefix("alive") })
        #expect(processor.failingTargets == ["dead"])
        let tried = pool.requests.count { $0.model == "dead" }
        #expect(tried < 50, "\(tried) of 300 were tried")
        processor.stop()
        await run
        let depth = try await plant.queue.depth()
        #expect(depth.unfinished == 300 && depth.leased == 0)
    }

    @Test func nothingWaitsForATimerFromSubmissionToOffer() async throws {
        let plant = try Plant(foreignPoll: .seconds(3600))
        let pool = ScriptedPool()
        let processor = plant.processor(pool)
        async let run: Void = processor.run()
        for number in 0..<200 {
            let id = "m\(number)"
            try await plant.submit([id])
            await pool.until { $0.offered == [id] }
            pool.start(id)
            pool.end(id, .status(200))
        }
        #expect(try await plant.results(200).count == 200)
        processor.stop()
        await run
    }
}
