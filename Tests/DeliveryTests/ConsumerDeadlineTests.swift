import Basics
import Delivery
import Testing

/// Deadlines, messages without hope, attempts that take too long, clocks that jump.
@Suite struct ConsumerDeadlineTests {
    /// A consumer that has seen 32 answers, each of so many tokens after so long.
    private func experienced(
        _ times: [Double] = Array(repeating: 10, count: 32), tokens: Int = 100,
        _ change: (inout ConsumerConfiguration) -> Void = { _ in }
    ) -> ScriptedConsumer {
        var world = ScriptedConsumer(change)
        world.begin()
        for (number, time) in times.enumerated() {
            world.submit(["before\(number)"])
            world.serve("before\(number)", answer(200, tokens: tokens), taking: .seconds(time))
        }
        return world
    }

    @Test func aDeadlineEndsAMessageWhereverItIs() throws {
        var world = ScriptedConsumer { $0.maximumInFlight = 2 }
        world.begin()
        world.submit(["started", "offered"], window: .seconds(10))
        world.start("started")
        world.submit(["queued"], window: .seconds(10))
        world.pass(.seconds(9.999))
        #expect(world.results.isEmpty)
        world.pass(.seconds(0.001))
        #expect(world.withdrawals.sorted() == ["offered", "started"])
        world.pass(.seconds(1))
        for id in ["started", "offered", "queued"] {
            #expect(try world.result(id).errorCode == .deadlineExceeded)
        }
        #expect(try world.result("started").errorMessage == "no final answer before the deadline")
        #expect(
            try world.result("offered").errorMessage == "the deadline passed before the request could be started")
        #expect(world.counters.expired == 3 && world.counters.held == 0)
    }

    @Test func aDeadlineEndsAMessageThatWaitsForRoom() throws {
        var world = ScriptedConsumer()
        world.begin()
        world.submit(["a", "b"], window: .seconds(100))
        world.start("a")
        world.submit(["c"], window: .seconds(10))
        world.end("b", noRoom)
        world.end("c", noRoom)
        world.pass(.seconds(10))
        let result = try world.result("c")
        #expect(result.errorCode == .deadlineExceeded && result.finished == epoch + .seconds(10))
        #expect(world.withdrawals.isEmpty && world.withPool == ["a"])
        world.end("a", answer(200))
        #expect(world.withPool == ["b"], "it is out of the line as well")
    }

    @Test func anAnswerThatCrossesTheDeadlineOnItsWayIsDelivered() throws {
        var world = ScriptedConsumer()
        world.answerToWithdrawal = nil
        world.begin()
        world.submit(["a"], window: .seconds(10))
        world.start("a")
        world.pass(.seconds(10))
        #expect(world.withdrawals == ["a"] && world.results.isEmpty)
        world.end("a", answer(200))
        #expect(try world.result("a").isSuccess)
    }

    @Test func aMessageWithoutHopeIsReportedAtOnce() throws {
        var world = experienced()
        let now = world.now.wall
        world.submit(["short", "long"].map { message($0, window: now - epoch + .seconds($0 == "short" ? 9 : 11)) })
        let result = try world.result("short")
        #expect(result.errorCode == .deadlineExceeded && result.finished == now)
        #expect(result.errorMessage == "too little time was left before the deadline for the request to be answered")
        #expect(world.withPool == ["long"] && !world.offers.contains("short"))
    }

    @Test func aMessageThatIsOfferedLosesHopeWhenTooLittleTimeIsLeft() throws {
        var world = experienced()
        let now = world.now.wall
        world.submit([message("a", window: now - epoch + .seconds(30))])
        world.pass(.seconds(19.9))
        #expect(world.withPool == ["a"] && world.withdrawals.isEmpty)
        world.pass(.seconds(0.2))
        let result = try world.result("a")
        #expect(result.errorCode == .deadlineExceeded && result.finished <= now + .seconds(20.1))
        #expect(world.withdrawals == ["a"])
    }

    @Test func whatHasStartedMayTryUntilItsDeadline() throws {
        var world = experienced()
        let now = world.now.wall
        world.submit([message("a", window: now - epoch + .seconds(30))])
        world.start("a")
        world.pass(.seconds(29.9))
        #expect(world.withPool == ["a"])
        world.end("a", answer(200))
        #expect(try world.result("a").isSuccess)
    }

    @Test func theMedianIsWhatHopeIsMeasuredByAlthoughSomeAnswersTookLonger() {
        var world = experienced(Array(repeating: 5, count: 20) + Array(repeating: 50, count: 12))
        let now = world.now.wall
        world.submit([message("a", window: now - epoch + .seconds(60))])
        world.pass(.seconds(54.9))
        #expect(world.withPool == ["a"], "half of all answers come in 5 s")
        world.pass(.seconds(0.2))
        #expect(world.withPool.isEmpty)
    }

    @Test func whatTheSlowestAnswerTookIsKeptToAfterItIsForgotten() {
        var world = experienced(Array(repeating: 50, count: 32))
        let now = world.now.wall
        world.submit([message("a", window: now - epoch + .seconds(1000))])
        // In the meantime the target becomes fast.
        for number in 0..<128 {
            world.submit(["quick\(number)"])
            world.serve("quick\(number)", taking: .seconds(5))
        }
        world.pass(epoch + (now - epoch) + .seconds(994.9) - world.now.wall)
        #expect(world.withPool == ["a"])
        world.pass(.seconds(0.2))
        #expect(world.withPool.isEmpty, "5 s are what it takes now")
    }

    @Test func aMessageThatAsksForFewTokensKeepsItsHopeLonger() {
        var world = experienced(tokens: 1000)
        let now = world.now.wall
        world.submit([message("few", window: now - epoch + .seconds(2), body: #"{"max_tokens":100}"#)])
        world.submit([message("many", window: now - epoch + .seconds(2), body: #"{"max_tokens":5000}"#)])
        #expect(world.withPool == ["few"] && world.results.last?.id == "many")
    }

    @Test func messagesWithoutHopeAreFetchedFromTheQueueAlthoughNothingOfTheirTargetIsTaken() throws {
        var world = experienced { $0.maximumInFlight = 1 }
        let now = world.now.wall
        world.submit(["first"], window: .seconds(3600))
        world.submit([message("a", window: now - epoch + .seconds(30))])
        #expect(world.withPool == ["first"])
        world.pass(.seconds(21.5))
        #expect(try world.result("a").errorCode == .deadlineExceeded)
        #expect(try world.result("a").finished <= now + .seconds(21.1))
    }

    @Test func anAttemptThatTakesTooLongIsTakenBackAndTriedAgain() throws {
        var world = ScriptedConsumer { $0.attemptTimeout = .seconds(60) }
        world.begin()
        world.submit(["a"])
        world.pass(.seconds(600))
        #expect(world.withdrawals.isEmpty, "waiting for room is no attempt")
        world.start("a")
        world.pass(.seconds(59.9))
        #expect(world.withdrawals.isEmpty)
        world.pass(.seconds(0.2))
        #expect(world.withdrawals == ["a"])
        let release = try #require(world.releases.last)
        #expect(release.attempts.failures == 1 && release.readyAt > world.now.wall)
        world.pass(.seconds(4))
        #expect(world.withPool == ["a"])
        world.serve("a")
        let result = try world.result("a")
        #expect(result.isSuccess && result.attempts.dispatches == 2 && result.attempts.failures == 1)
    }

    @Test func attemptsThatTakeTooLongInARowOpenTheBreaker() {
        var world = ScriptedConsumer {
            $0.attemptTimeout = .seconds(60)
            $0.breakerFailures = 3
        }
        world.begin()
        world.submit(["a", "b", "c"])
        for id in ["a", "b", "c"] { world.start(id) }
        world.pass(.seconds(59.9))
        #expect(world.machine.failingTargets.isEmpty)
        world.pass(.seconds(0.2))
        #expect(world.machine.failingTargets == ["llama"])
    }

    @Test func aTimeoutDoesNotOutlastItsAttempt() {
        var world = ScriptedConsumer { $0.attemptTimeout = .seconds(60) }
        world.begin()
        world.submit(["a"])
        world.start("a")
        world.pass(.seconds(59))
        world.end("a", .evicted)
        world.start("a")
        world.pass(.seconds(59))
        #expect(world.withdrawals.isEmpty)
    }

    @Test(arguments: [-86_400.0, -100, 100, 86_400])
    func aCorrectedClockDisturbsNeitherTimeoutsNorHeartbeatsNorPauses(jump: Double) {
        var world = ScriptedConsumer {
            $0.attemptTimeout = .seconds(60)
            $0.grace = .seconds(20)
        }
        world.begin()
        world.submit(["a", "b"], window: .seconds(1_000_000))
        world.start("a")
        world.pass(.seconds(31))
        let beats = world.extensions.count
        world.moveWallClock(.seconds(jump))
        world.pass(.seconds(28.9))
        #expect(world.withdrawals.isEmpty)
        #expect(world.extensions.count - beats >= 5 && world.extensions.count - beats <= 6)
        world.pass(.seconds(0.2))
        #expect(world.withdrawals == ["a"])
        world.end("b", noRoom)
        world.moveWallClock(.seconds(jump))
        world.pass(.seconds(1))
        #expect(world.withPool.contains("b"))
        world.start("b")
        world.stop()
        world.moveWallClock(.seconds(jump))
        world.pass(.seconds(19.9))
        #expect(world.withPool == ["b"])
        world.pass(.seconds(0.2))
        #expect(world.withPool.isEmpty && world.machine.isDone)
    }

    @Test func aClockSetBackLetsAMessageHaveTheTimeItWasPromised() throws {
        var world = ScriptedConsumer()
        world.begin()
        world.submit(["a"], window: .seconds(100))
        world.moveWallClock(.seconds(-1000))
        world.pass(.seconds(1099))
        #expect(world.withPool == ["a"])
        world.pass(.seconds(1))
        #expect(try world.result("a").errorCode == .deadlineExceeded)
    }

    @Test func anIdleConsumerWakesOnlyToLookForOverdueMessages() {
        var world = ScriptedConsumer()
        world.begin()
        for second in 0..<100 {
            let wake = world.nextWake
            #expect(wake.steady == world.now.steady + .seconds(1), "second \(second)")
            #expect(wake.wall == .distantFuture)
            world.pass(.seconds(1))
        }
        #expect(world.extensions.isEmpty && world.takes.count == 1)
    }
}
