import Basics
import Delivery
import Testing

/// How much a consumer takes, and in which order it offers.
@Suite struct ConsumerTakingTests {
    private func ids(_ prefix: String, _ range: Range<Int>) -> [String] { range.map { "\(prefix)\($0)" } }

    @Test func whatIsTakenIsOfferedAndAnswered() throws {
        var world = ScriptedConsumer()
        world.begin()
        world.submit(["a", "b"])
        #expect(world.offers == ["a", "b"])
        world.serve("a")
        world.serve("b", answer(404))
        #expect(world.results.map(\.id) == ["a", "b"])
        let result = try world.result("a")
        #expect(result.isSuccess && result.queue == "nightly" && result.generation == "g1")
        let counters = world.counters
        #expect(counters.leased == 2 && counters.dispatched == 2 && counters.succeeded == 1 && counters.failed == 1)
        #expect(counters.held == 0 && counters.offered == 0 && counters.inFlight == 0)
    }

    @Test func oneTargetIsOfferedItsLookaheadAndRefilledInLargeBites() {
        var world = ScriptedConsumer { $0.lookahead = 8 }
        world.begin()
        world.submit(ids("m", 0..<100))
        #expect(world.offers == ids("m", 0..<8))
        let takes = world.takes.count
        for id in ids("m", 0..<3) { world.start(id) }
        #expect(world.offers.count == 8 && world.takes.count == takes, "more than half of it is left")
        world.start("m3")
        #expect(world.offers == ids("m", 0..<12))
        #expect(world.counters.offered == 8 && world.counters.inFlight == 4)
    }

    @Test func aTargetThatIsFullDoesNotHoldUpAnother() {
        var world = ScriptedConsumer { $0.lookahead = 4 }
        world.begin()
        world.submit(ids("slow", 0..<50), model: "slow")
        world.submit(ids("fast", 0..<50), model: "fast")
        #expect(world.withPool == Set(ids("slow", 0..<4) + ids("fast", 0..<4)))
        for number in 0..<50 { world.serve("fast\(number)") }
        #expect(world.results.count == 50 && world.withPool == Set(ids("slow", 0..<4)))
    }

    @Test func noMoreMessagesAreHeldThanTheBound() {
        var world = ScriptedConsumer {
            $0.lookahead = 4
            $0.maximumHeld = 6
        }
        world.begin()
        world.submit(ids("m", 0..<20))
        for id in ids("m", 0..<4) { world.start(id) }
        #expect(world.counters.held == 6 && world.inQueue.count == 14)
        for id in ids("m", 4..<6) { world.start(id) }
        #expect(world.counters.held == 6)
        world.end("m0", answer(200))
        #expect(world.counters.held == 6 && world.withPool.contains("m6"))
    }

    @Test func noMoreBytesAreHeldThanTheBoundAndOneCall() {
        var world = ScriptedConsumer { $0.maximumHeldBytes = 1000 }
        world.begin()
        for number in 0..<5 {
            world.submit([message("m\(number)", body: String(repeating: " ", count: 400))])
        }
        #expect(world.counters.held == 3, "two are below the bound, the third goes over it")
        for number in 5..<9 {
            world.submit([message("m\(number)", body: String(repeating: " ", count: 400))])
        }
        #expect(world.counters.held == 3)
        world.serve("m0")
        #expect(world.counters.held == 8, "what one call brings is not known before")
    }

    @Test func noMoreThanTheMaximumInFlightIsWithThePool() {
        var world = ScriptedConsumer { $0.maximumInFlight = 3 }
        world.begin()
        world.submit(ids("a", 0..<10), model: "a")
        world.submit(ids("b", 0..<10), model: "b")
        #expect(world.withPool == ["a0", "a1", "a2"] && world.counters.held == 3)
        for id in ids("a", 0..<3) { world.start(id) }
        #expect(world.withPool.count == 3, "what has started counts")
        var served = 0
        while let id = world.withPool.min() {
            #expect(world.withPool.count <= 3)
            world.serve(id)
            served += 1
        }
        #expect(served == 20 && world.results.count == 20)
    }

    @Test func offersGoInTheOrderInWhichTheQueueHandedThemOutWhateverTheTarget() {
        for limit in [nil, 1, 20] as [Int?] {
            var world = ScriptedConsumer { $0.maximumInFlight = limit }
            world.isQueueSlow = true
            world.begin()
            for number in 0..<40 { world.submit(["m\(number)"], model: "model\(number % 7)") }
            world.answerCalls()
            for number in 0..<40 { world.serve("m\(number)") }
            #expect(world.offers == ids("m", 0..<40))
        }
    }

    @Test func whatIsRefusedKeepsItsPlace() {
        var world = ScriptedConsumer()
        world.begin()
        world.submit(ids("m", 0..<8))
        for id in ["m2", "m0", "m5", "m1"] { world.end(id, noRoom) }
        let offers = world.offers.count
        for id in ["m3", "m4", "m6", "m7"] { world.serve(id) }
        while let id = world.withPool.min() { world.serve(id) }
        #expect(world.offers.dropFirst(offers) == ["m0", "m1", "m2", "m5"])
    }

    @Test func theEvictedGoAheadOfWhatTheyStoodAheadOf() {
        var world = ScriptedConsumer { $0.maximumInFlight = 2 }
        world.begin()
        world.submit(ids("m", 0..<4))
        world.start("m0")
        world.start("m1")
        world.end("m1", .evicted)
        #expect(world.offers == ["m0", "m1", "m1"])
        world.start("m1")
        world.end("m0", .evicted)
        #expect(world.offers == ["m0", "m1", "m1", "m0"])
        #expect(world.counters.evictions == 2 && world.counters.retries == 0)
    }

    @Test func aDryQueueIsWaitedOnAndNotAskedAgain() {
        var world = ScriptedConsumer()
        world.begin()
        let takes = world.takes.count
        #expect(takes == 1)
        world.pass(.seconds(600))
        #expect(world.takes.count == takes)
        world.submit(["a"])
        #expect(world.withPool == ["a"])
    }

    @Test func aWaitThatLeavesOutATargetIsReplacedWhenTheTargetIsWelcomeAgain() {
        var world = ScriptedConsumer {
            $0.lookahead = 2
            $0.breakerFailures = 2
        }
        world.begin()
        world.submit(["a", "b"])
        // The queue is asked for anything, has nothing, and while it looks the target is found failing.
        world.isQueueSlow = true
        world.start("a")
        #expect(world.takes.last?.excluded == [])
        world.end("a", refusedConnection)
        world.end("b", refusedConnection)
        world.answerCalls()
        #expect(world.machine.failingTargets == ["llama"] && Set(world.inQueue) == ["a", "b"])
        world.pass(.seconds(5))
        #expect(!world.withPool.isEmpty, "their time has come, and the consumer has to hear of it")
    }

    @Test func messagesPastTheirDeadlineAreFetchedAndEndedThoughNothingOfTheirTargetIsTaken() throws {
        var world = ScriptedConsumer {
            $0.lookahead = 2
            $0.breakerCap = .seconds(1000)
        }
        world.begin()
        world.submit(["a", "b", "c"], window: .seconds(10))
        world.submit(["d"], window: .seconds(11))
        #expect(world.withPool == ["a", "b"])
        world.pass(.seconds(11))
        for id in ["a", "b", "c"] {
            let result = try world.result(id)
            #expect(result.errorCode == .deadlineExceeded)
            #expect(result.finished <= epoch + .seconds(11))
        }
        #expect(world.counters.expired == 4 || world.withPool == ["d"])
        #expect(!world.offers.contains("c"))
    }

    @Test func overdueMessagesAreLookedForOnceASecondAndAFullLookIsFollowedSoon() {
        var world = ScriptedConsumer { $0.lookahead = 1 }
        world.begin()
        world.pass(.seconds(10))
        #expect(world.overdueLooks.count == 10)
        world.submit(["held"], window: .seconds(7200))
        // They are not taken because one request of their target waits in front of the pool.
        world.submit(ids("m", 0..<600), window: .seconds(0.5))
        world.pass(.seconds(1.1))
        #expect(world.overdueLooks.count == 13)
        #expect(world.results.count == 600 && world.withPool == ["held"])
    }

    @Test func whatArrivesAfterAStopGoesBackAtOnce() {
        var world = ScriptedConsumer()
        world.isQueueSlow = true
        world.begin()
        world.submit(["a"])
        world.stop()
        #expect(!world.machine.isDone, "a call of the queue is under way")
        world.answerCalls()
        #expect(world.machine.isDone && world.inQueue == ["a"] && world.offers.isEmpty)
    }

    @Test func aFailingQueueIsAskedAgainAfterGrowingPauses() {
        var world = ScriptedConsumer {
            $0.queuePause = .milliseconds(100)
            $0.maximumQueuePause = .seconds(2)
        }
        world.isQueueDown = true
        world.begin()
        world.pass(.seconds(60))
        let asked = world.takes.count + world.overdueLooks.count
        #expect(asked >= 25 && asked <= 80, "asked \(asked) times")
        #expect(world.counters.queueErrors == asked)
        world.isQueueDown = false
        world.submit(["a"])
        world.pass(.seconds(2))
        #expect(world.withPool == ["a"])
    }
}
