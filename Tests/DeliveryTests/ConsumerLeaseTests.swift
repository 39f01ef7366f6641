import Basics
import Delivery
import Testing

/// Leases, writes that fail, cancellations, the stop.
@Suite struct ConsumerLeaseTests {
    @Test func leasesAreExtendedWellBeforeTheyRunOutWhateverTheStage() {
        var world = ScriptedConsumer { $0.leaseDuration = .seconds(15) }
        world.begin()
        world.submit(["started", "offered", "refused"])
        world.start("started")
        world.end("refused", noRoom)
        world.pass(.seconds(60))
        let times = world.extensions.map(\.at.seconds)
        #expect(world.extensions.allSatisfy { Set($0.ids) == ["started", "offered", "refused"] })
        #expect(zip(times, times.dropFirst()).allSatisfy { $1 - $0 <= 5.001 } && times.count >= 12)
        world.serve("started")
        #expect(world.withPool == ["offered", "refused"] || world.withPool == ["offered"])
        world.pass(.seconds(5))
        #expect(world.extensions.last.map { Set($0.ids) } == ["offered", "refused"])
    }

    @Test func anExtensionThatFailsIsTriedAgainBeforeTheLeaseRunsOut() {
        var world = ScriptedConsumer()
        world.begin()
        world.submit(["a"])
        world.pass(.seconds(5))
        world.isQueueDown = true
        world.pass(.seconds(5))
        world.isQueueDown = false
        world.pass(.seconds(5))
        let times = world.extensions.map(\.at.seconds).suffix(3)
        #expect(times.count == 3 && (times.last ?? 0) - (times.first ?? 0) <= 10.001)
    }

    @Test func aMessageInOtherHandsIsDroppedWithoutAResult() {
        var world = ScriptedConsumer()
        world.begin()
        world.submit(["started", "offered", "refused", "behind", "kept"])
        world.start("started")
        world.start("kept")
        world.end("refused", noRoom)
        world.end("behind", noRoom)
        world.lostLeases = ["started", "offered", "refused"]
        world.pass(.seconds(15))
        #expect(world.withdrawals.sorted() == ["offered", "started"])
        #expect(world.results.isEmpty && world.releases.isEmpty)
        #expect(world.counters.held == 2 && world.counters.lostLeases == 3)
        world.end("kept", answer(200))
        #expect(world.withPool == ["behind"])
    }

    @Test func anAnswerThatComesAfterTheLeaseWasLostIsNoResult() {
        var world = ScriptedConsumer()
        world.answerToWithdrawal = nil
        world.begin()
        world.submit(["a"])
        world.start("a")
        world.lostLeases = ["a"]
        world.pass(.seconds(15))
        world.end("a", answer(200))
        #expect(world.results.isEmpty && world.counters.lostLeases == 1 && world.counters.succeeded == 0)
        #expect(world.counters.held == 0)
    }

    @Test func aResultThatCannotBeStoredIsStoredLaterAfterGrowingPauses() throws {
        var world = ScriptedConsumer {
            $0.queuePause = .milliseconds(100)
            $0.maximumQueuePause = .seconds(2)
        }
        world.begin()
        world.submit(["a"])
        world.isQueueDown = true
        world.serve("a")
        world.pass(.seconds(20))
        let times = world.writes.map(\.at.seconds)
        let pauses = zip(times, times.dropFirst()).map { $1 - $0 }
        #expect(pauses.prefix(5).elementsEqual([0.1, 0.2, 0.4, 0.8, 1.6]) { abs($0 - $1) < 0.001 })
        #expect(pauses.dropFirst(5).allSatisfy { abs($0 - 2) < 0.001 } && pauses.count > 10)
        #expect(world.counters.held == 1 && world.counters.succeeded == 0)
        world.isQueueDown = false
        world.pass(.seconds(2))
        #expect(try world.result("a").isSuccess)
        #expect(world.counters.succeeded == 1 && world.counters.held == 0)
        #expect(world.offers == ["a"], "it is not run again")
    }

    @Test func aCancellationReachesAMessageInEveryStage() throws {
        var world = ScriptedConsumer()
        world.begin()
        world.submit(["started", "offered", "refused", "behind", "kept"])
        world.start("started")
        world.start("kept")
        world.end("refused", noRoom)
        world.end("behind", noRoom)
        world.cancel(["started", "offered", "refused"])
        for id in ["started", "offered", "refused"] {
            let result = try world.result(id)
            #expect(result.errorCode == .cancelled && result.finished == epoch, "no time passes")
        }
        #expect(world.withdrawals.sorted() == ["offered", "started"])
        #expect(world.counters.cancelled == 3)
        world.end("kept", answer(200))
        #expect(world.withPool == ["behind"], "what is cancelled is out of the line")
    }

    @Test func aCancellationMayComeBeforeTheMessageItIsFor() throws {
        var world = ScriptedConsumer()
        world.submit(["a", "b"])
        world.holdsAnswers = true
        world.begin()
        world.cancel(["a"])
        world.handOver()
        #expect(try world.result("a").errorCode == .cancelled)
        #expect(world.withPool == ["b"])
    }

    @Test func aCancellationWhileTheResultIsBeingStoredChangesNothing() throws {
        var world = ScriptedConsumer()
        world.begin()
        world.submit(["a"])
        world.start("a")
        world.isQueueSlow = true
        world.end("a", answer(200))
        world.cancel(["a"])
        world.answerCalls()
        #expect(try world.result("a").isSuccess)
    }

    @Test func anAnswerThatCrossesACancellationOnItsWayCounts() throws {
        var world = ScriptedConsumer()
        world.answerToWithdrawal = answer(200)
        world.begin()
        world.submit(["a"])
        world.start("a")
        world.cancel(["a"])
        #expect(try world.result("a").isSuccess)
    }

    @Test func aCancellationOutranksATimeoutThatCameFirst() throws {
        var world = ScriptedConsumer { $0.attemptTimeout = .seconds(60) }
        world.answerToWithdrawal = nil
        world.begin()
        world.submit(["a"])
        world.start("a")
        world.pass(.seconds(60))
        world.cancel(["a"])
        #expect(world.withdrawals == ["a"], "it is not asked for twice")
        world.end("a", .withdrawn)
        #expect(try world.result("a").errorCode == .cancelled)
    }

    @Test func aStopGivesBackWhatWaitsAndLetsTheRestFinish() throws {
        var world = ScriptedConsumer()
        world.begin()
        world.submit(["started", "offered", "refused"])
        world.start("started")
        world.end("refused", noRoom)
        world.stop()
        #expect(world.inQueue == ["offered", "refused"] && world.withPool == ["started"])
        #expect(world.releases.allSatisfy { $0.readyAt <= world.now.wall })
        #expect(world.counters.handedBack == 2 && !world.machine.isDone)
        world.submit(["new"])
        world.pass(.seconds(10))
        #expect(world.inQueue == ["offered", "refused", "new"])
        world.end("started", answer(200))
        #expect(try world.result("started").isSuccess)
        #expect(world.machine.isDone)
    }

    @Test(arguments: [.evicted, noRoom, answer(429)] as [AttemptOutcome])
    func afterAStopNothingIsOfferedAgain(outcome: AttemptOutcome) {
        var world = ScriptedConsumer()
        world.begin()
        world.submit(["a"])
        world.start("a")
        world.stop()
        world.end("a", outcome)
        #expect(world.machine.isDone && world.inQueue == ["a"] && world.offers == ["a"])
    }

    @Test func theGraceOfAStopIsLimited() {
        var world = ScriptedConsumer { $0.grace = .seconds(5) }
        world.begin()
        world.submit(["a"])
        world.start("a")
        world.stop()
        world.pass(.seconds(4.9))
        #expect(world.withPool == ["a"])
        world.pass(.seconds(0.2))
        #expect(world.inQueue == ["a"] && world.machine.isDone)
        #expect(world.counters.handedBack == 1)
    }

    @Test func anAbortTakesEverythingBackAtOnce() {
        var world = ScriptedConsumer()
        world.begin()
        world.submit(["started", "offered", "refused"])
        world.start("started")
        world.end("refused", noRoom)
        world.abort()
        #expect(Set(world.inQueue) == ["started", "offered", "refused"] && world.machine.isDone)
        world.abort()
        world.stop()
        #expect(world.machine.isDone)
    }

    @Test func anAbortDoesNotWaitForAQueueThatFails() {
        var world = ScriptedConsumer()
        world.begin()
        world.submit(["answered", "started"])
        world.start("started")
        world.isQueueDown = true
        world.serve("answered")
        world.stop()
        world.pass(.seconds(3))
        #expect(!world.machine.isDone, "a stop still tries to store the result")
        world.abort()
        #expect(world.machine.isDone && world.counters.held == 0)
    }

    @Test func aStopBeforeTheBeginningIsDoneAtOnce() {
        var world = ScriptedConsumer()
        world.stop()
        world.begin()
        #expect(world.machine.isDone && world.takes.isEmpty)
    }

    @Test func wordsThatComeTooLateOrTwiceChangeNothing() throws {
        let leased = leased()
        let now = DeliveryTime(wall: epoch, steady: .zero)
        var machine = ConsumerStateMachine(configuration: ConsumerConfiguration(), seed: 1, now: now)
        _ = machine.begin(now: now)
        #expect(machine.started(leased.lease, now: now) == [])
        #expect(machine.ended(leased.lease, answer(200), now: now) == [])
        #expect(machine.stored(leased.lease, tookEffect: true, now: now) == [])
        #expect(machine.storeFailed(leased.lease, now: now) == [])
        #expect(machine.extended(lost: [leased.lease], now: now) == [])
        _ = machine.taken([leased], isOverdue: false, now: now)
        _ = machine.started(leased.lease, now: now)
        #expect(machine.started(leased.lease, now: now) == [])
        _ = machine.ended(leased.lease, answer(200), now: now)
        #expect(machine.ended(leased.lease, answer(500), now: now).isEmpty)
        _ = machine.stored(leased.lease, tookEffect: true, now: now)
        _ = machine.stored(leased.lease, tookEffect: true, now: now)
        #expect(machine.counters.succeeded == 1 && machine.counters.dispatched == 1 && machine.counters.held == 0)
    }
}
