import Basics
import InferenceAPI
import Testing

@testable import Delivery

/// What a consumer learns of targets: breakers, room.
@Suite struct ConsumerTargetTests {
    private func ids(_ prefix: String, _ range: Range<Int>) -> [String] { range.map { "\(prefix)\($0)" } }

    /// Serves everything of a target that is with the pool, until nothing is.
    private func serveAll(_ world: inout ScriptedConsumer, _ prefix: String, _ outcome: AttemptOutcome) {
        var turns = 0
        while let id = world.withPool.filter({ $0.hasPrefix(prefix) }).min(), turns < 1000 {
            world.serve(id, outcome)
            turns += 1
        }
    }

    @Test func aDeadTargetIsLeftAloneAndAnotherGoesOn() {
        var world = ScriptedConsumer { $0.lookahead = 4 }
        world.begin()
        world.submit(ids("dead", 0..<100), model: "dead")
        world.submit(ids("alive", 0..<100), model: "alive")
        serveAll(&world, "dead", refusedConnection)
        #expect(world.machine.failingTargets == ["dead"] && world.counters.breakersOpened == 1)
        let tried = world.offers.count { $0.hasPrefix("dead") }
        #expect(tried >= 5 && tried < 5 + 4, "what was out when it was found out, and no more")
        #expect(world.inQueue.count { $0.hasPrefix("dead") } == 100, "the rest waits in the queue, not in hand")
        serveAll(&world, "alive", answer(200))
        #expect(world.results.count == 100 && world.results.allSatisfy { $0.isSuccess })
        #expect(world.offers.count { $0.hasPrefix("dead") } == tried)
        #expect(world.takes.last?.excluded.contains("dead") == true)
    }

    @Test func oneProbeAtATimeFindsOutWhenADeadTargetIsBack() {
        var world = ScriptedConsumer { $0.lookahead = 4 }
        world.begin()
        world.submit(ids("m", 0..<50))
        serveAll(&world, "m", refusedConnection)
        for _ in 0..<4 {
            let tried = world.offers.count
            world.pass(.seconds(30))
            #expect(world.withPool.count == 1 && world.offers.count == tried + 1)
            serveAll(&world, "m", refusedConnection)
            #expect(world.withPool.isEmpty)
        }
        #expect(world.counters.breakersOpened == 1)
        world.pass(.seconds(30))
        #expect(world.withPool.count == 1)
        serveAll(&world, "m", answer(200))
        #expect(world.machine.failingTargets.isEmpty)
        for _ in 0..<10 {
            world.pass(.seconds(60))
            serveAll(&world, "m", answer(200))
        }
        #expect(Set(world.results.filter(\.isSuccess).map(\.id)).count == 50 && world.results.count == 50)
    }

    @Test(
        arguments: [
            answer(500), answer(503), answer(408), refusedConnection, .failed(.connectionLost, endpoint: nil),
            .failed(.timedOut, endpoint: nil), answer(503, dropReason: "rejected-shutting-down"),
        ] as [AttemptOutcome])
    func failuresInARowOpenTheBreaker(outcome: AttemptOutcome) {
        var world = ScriptedConsumer { $0.breakerFailures = 3 }
        world.begin()
        world.submit(ids("m", 0..<3))
        for id in ids("m", 0..<2) { world.serve(id, outcome) }
        #expect(world.machine.failingTargets.isEmpty)
        world.serve("m2", outcome)
        #expect(world.machine.failingTargets == ["llama"])
    }

    @Test func anEvictionSaysNothingOfTheTarget() {
        var world = ScriptedConsumer { $0.breakerFailures = 2 }
        world.begin()
        world.submit(ids("m", 0..<3))
        world.serve("m0", answer(500))
        world.serve("m1", .evicted)
        world.serve("m2", answer(500))
        #expect(world.machine.failingTargets == ["llama"])
    }

    @Test(arguments: [answer(200), answer(404), answer(429), .failed(.answerTooLong, endpoint: nil)])
    func anythingThatShowsLifeKeepsTheBreakerClosed(outcome: AttemptOutcome) {
        var world = ScriptedConsumer { $0.breakerFailures = 2 }
        world.begin()
        world.submit(ids("m", 0..<3))
        world.serve("m0", answer(500))
        world.serve("m1", outcome)
        world.serve("m2", answer(500))
        #expect(world.machine.failingTargets.isEmpty)
    }

    @Test(
        arguments: [
            .rejected(.unavailable, reason: "no endpoint", retryAfter: nil),
            answer(503, dropReason: "rejected-no-endpoints"),
        ] as [AttemptOutcome])
    func whatNobodyServesGoesBackAtOnceAndIsProbed(outcome: AttemptOutcome) {
        var world = ScriptedConsumer()
        world.begin()
        world.submit(ids("m", 0..<3))
        world.end("m0", outcome)
        #expect(world.machine.failingTargets == ["llama"])
        #expect(world.inQueue == ["m0"] && world.withPool == ["m1", "m2"])
        #expect(world.releases.map { $0.readyAt <= epoch } == [true], "others may serve it")
        #expect(world.counters.handedBack == 1 && world.counters.retries == 0)
        world.pass(.seconds(1))
        #expect(world.withPool == ["m0", "m1", "m2"])
        world.serve("m0")
        #expect(world.machine.failingTargets.isEmpty)
    }

    @Test(
        arguments: [500, 502, 503, 504, 529, 408, 409, 425, 429].map { answer($0) }
            + TransportFailure.allCases.filter { $0 != .answerTooLong }.map { .failed($0, endpoint: nil) }
            + DropReason.allCases.map { answer(503, dropReason: $0.rawValue) }
            + [answer(429, retryAfter: .seconds(5)), answer(503, retryAfter: .seconds(5)), noRoom]
            + [.rejected(.unavailable, reason: "no endpoint", retryAfter: nil)])
    func afterAnyFaultEveryMessageIsAnsweredWithin120Seconds(fault: AttemptOutcome) {
        for minutes in [1.0, 10] {
            var world = ScriptedConsumer(seed: UInt64(minutes))
            world.begin()
            world.submit(ids("m", 0..<3), window: .seconds(86_400))
            let healthyFrom = world.now.wall + .seconds(60 * minutes)
            let end = healthyFrom + .seconds(120)
            while world.now.wall < end, world.results.count < 3 {
                let isHealthy = world.now.wall >= healthyFrom
                #expect(isHealthy || world.results.isEmpty)
                for id in world.withPool.sorted() { world.serve(id, isHealthy ? answer(200) : fault) }
                world.pass(.milliseconds(250))
            }
            #expect(world.results.filter(\.isSuccess).count == 3, "after \(minutes) minutes of faults")
        }
    }

    @Test func whatWaitsBehindAProbeIsNotInTheWayAndGoesBackWhenTheProbeFails() {
        var world = ScriptedConsumer {
            $0.breakerFailures = 1
            $0.maximumInFlight = 4
        }
        world.begin()
        world.submit(["dead0"], model: "dead")
        world.serve("dead0", refusedConnection)
        world.submit(ids("dead", 1..<10), model: "dead")
        world.pass(.seconds(1))
        #expect(world.withPool == ["dead1"] && world.counters.held == 4)
        world.submit(ids("alive", 0..<5), model: "alive")
        #expect(world.withPool == ["dead1", "alive0", "alive1", "alive2"])
        world.serve("dead1", refusedConnection)
        #expect(world.withPool == Set(ids("alive", 0..<4)))
        #expect(world.inQueue.filter { $0.hasPrefix("dead") } == ids("dead", 0..<10))
        #expect(world.releases.map(\.id).sorted() == ids("dead", 0..<5))
    }

    /// Lets dead targets fail for a minute, so that each is being probed, and serves a living one meanwhile; returns how many
    /// of its 40 messages were served within 10 s.
    private func serve(besides count: Int, _ change: (inout ConsumerConfiguration) -> Void) -> Int {
        var world = ScriptedConsumer(change)
        world.begin()
        var served = 0
        for turn in 0..<1400 {
            if turn == 0 {
                for model in 0..<count { world.submit(ids("dead\(model)-", 0..<20), model: "dead\(model)") }
            }
            if turn == 1200 { world.submit(ids("alive", 0..<40), model: "alive") }
            for id in world.withPool.sorted() where id.hasPrefix("dead") { world.serve(id, refusedConnection) }
            if let id = world.withPool.filter({ $0.hasPrefix("alive") }).min() {
                world.serve(id)
                served += 1
            }
            world.pass(.milliseconds(50))
        }
        return served
    }

    @Test func manyDeadTargetsDoNotFillTheHandsOfTheLivingOne() {
        #expect(
            serve(besides: 6) {
                $0.lookahead = 4
                $0.maximumHeld = 8
            } == 40)
    }

    @Test func aDeadTargetDoesNotUseUpTheMaximumInFlight() {
        #expect(serve(besides: 1) { $0.maximumInFlight = 2 } == 40)
    }

    @Test func targetsWithoutRoomDoNotFillTheHandsOfOneThatHasSome() {
        var world = ScriptedConsumer {
            $0.lookahead = 4
            $0.maximumHeld = 8
        }
        world.begin()
        for model in 0..<4 { world.submit(ids("full\(model)-", 0..<20), model: "full\(model)") }
        world.submit(ids("free", 0..<20), model: "free")
        var served = 0
        for _ in 0..<200 {
            for id in world.withPool.sorted() where id.hasPrefix("full") { world.end(id, noRoom) }
            for id in world.withPool.sorted() where id.hasPrefix("free") {
                world.serve(id)
                served += 1
            }
            world.pass(.milliseconds(50))
        }
        #expect(served == 20, "10 seconds with nothing else to do")
    }

    @Test func aRefusedMessageGoesOutAgainWhenAnAnswerComesBackAndNotByATimer() {
        var world = ScriptedConsumer { $0.lookahead = 64 }
        world.begin()
        world.submit(ids("m", 0..<4))
        for id in ids("m", 0..<4) { world.start(id) }
        world.submit(["late"])
        world.end("late", noRoom)
        #expect(world.counters.capacityRefusals == 1 && world.counters.held == 5)
        world.pass(.seconds(9))
        #expect(world.offers.count { $0 == "late" } == 1, "time alone makes no room")
        // Five were out, so two may be, and a little more after an answer.
        world.end("m0", answer(200))
        #expect(!world.withPool.contains("late"))
        world.end("m1", answer(200))
        #expect(world.withPool == ["m2", "m3", "late"])
        #expect(world.releases.isEmpty && world.counters.retries == 0)
    }

    @Test func withNothingOutARefusedMessageGoesOutAfterAShortPause() {
        var world = ScriptedConsumer()
        world.begin()
        world.submit(["a"])
        for turn in 1...50 {
            world.end("a", noRoom)
            #expect(world.withPool.isEmpty)
            world.pass(.seconds(0.499))
            #expect(world.withPool.isEmpty, "turn \(turn)")
            world.pass(.seconds(0.502))
            #expect(world.withPool == ["a"], "turn \(turn): the pause does not grow")
        }
        world.serve("a")
        #expect(world.results.count == 1 && world.releases.isEmpty)
    }

    @Test func aRetryAfterKeepsTheWholeTargetAwayForThatLongButNoLongerThanAMinute() {
        var world = ScriptedConsumer()
        world.begin()
        world.submit(["a", "b"])
        world.start("b")
        world.serve("a", answer(429, retryAfter: .seconds(20)))
        world.submit(["c"])
        world.end("b", answer(200))
        world.pass(.seconds(19.9))
        #expect(world.withPool.isEmpty && world.offers.count == 2)
        world.pass(.seconds(0.1))
        #expect(world.withPool == ["a", "c"])
        world.end("c", answer(200))
        world.end("a", .rejected(.capacity, reason: "full", retryAfter: .seconds(86_400)))
        world.pass(.seconds(60))
        #expect(world.withPool == ["a"])
    }

    @Test func aGatewayThatStopsIsNotAskedAgainAtOnce() {
        var world = ScriptedConsumer()
        world.begin()
        world.submit(["a", "b"])
        for turn in 1...10 {
            while let id = world.withPool.min(), world.offers.count < 1000 {
                world.end(id, .rejected(.stopping, reason: "going away", retryAfter: nil))
            }
            #expect(world.withPool.isEmpty && world.offers.count <= 2 * turn)
            world.pass(.seconds(1))
        }
        for _ in 0..<2 { if let id = world.withPool.min() { world.serve(id) } }
        #expect(world.results.count == 2)
    }

    @Test func ofManyTargetsOnlySoManyAreRemembered() {
        var world = ScriptedConsumer()
        world.begin()
        for number in 0..<300 {
            world.submit(["m\(number)"], model: "model\(number)")
            world.serve("m\(number)")
        }
        #expect(world.results.count == 300)
        #expect(world.machine.targets.count == ConsumerStateMachine.targetLimit)
        #expect(world.machine.targets["model299"] != nil && world.machine.targets["model0"] == nil)
    }

    @Test func theWindowGrowsWithAnswers() {
        var world = ScriptedConsumer { $0.lookahead = 64 }
        world.begin()
        world.submit(ids("m", 0..<200))
        let offered = world.withPool.sorted()
        for id in offered.dropFirst(4) { world.end(id, noRoom) }
        for id in offered.prefix(4) { world.serve(id) }
        let narrow = world.withPool.count
        #expect(narrow < 34)
        var sizes: [Int] = []
        while let id = world.withPool.min() {
            world.serve(id)
            sizes.append(world.withPool.count)
        }
        #expect(world.results.count == 200 && (sizes.max() ?? 0) > narrow)
    }

    @Test func retriesStayAwayLongerWhenTheBacklogIsDeep() {
        var world = ScriptedConsumer { $0.breakerFailures = 1000 }
        world.begin()
        world.submit(ids("m", 0..<60), window: .seconds(36_000))
        for number in 0..<60 {
            world.pass(.seconds(1))
            world.serve("m\(number)")
        }
        world.observeBacklog(ready: 1000, delayed: 300)
        world.submit(["a"], window: .seconds(36_000))
        world.serve("a", answer(500))
        let pause = world.releases.last.map { ($0.readyAt - world.now.wall).seconds } ?? 0
        #expect(pause >= 20 && pause <= 50, "not \(pause) s: ten times the usual, since a message a second is finished")
    }
}
