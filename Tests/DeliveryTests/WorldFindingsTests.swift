import Basics
import Delivery
import Testing

/// What seeded worlds have found, each in its smallest form.
@Suite struct WorldFindingsTests {
    @Test func whatWasSentBeforeTheProbeDoesNotSpeakForIt() {
        var world = ScriptedConsumer { $0.breakerFailures = 2 }
        world.begin()
        world.submit((0..<8).map { "m\($0)" })
        for id in ["m4", "m5", "m6", "m7"] { world.start(id) }
        world.serve("m0", answer(500))
        world.serve("m1", answer(500))
        #expect(world.machine.failingTargets == ["llama"])
        let old: Set<String> = ["m2", "m3", "m4", "m5", "m6", "m7"]
        while world.withPool.subtracting(old).isEmpty { world.pass(.milliseconds(100)) }
        // The probe is out. Others that were out before it come back, each in another way.
        for (id, outcome) in [
            ("m2", noRoom), ("m4", .withdrawn), ("m5", answer(500)), ("m6", refusedConnection),
            ("m3", .rejected(.unavailable, reason: "no endpoint", retryAfter: nil)),
        ] as [(String, AttemptOutcome)] {
            world.end(id, outcome)
            world.pass(.seconds(20))
            #expect(world.withPool.subtracting(old).count == 1, "a second probe after \(id)")
        }
        world.end("m7", answer(200))
        #expect(world.machine.failingTargets.isEmpty, "an answer shows life, whenever it was asked for")
    }

    @Test func aPauseIsAsLongAsItWasMeantToBeThoughTheClockIsSetBeforeItIsStored() {
        for step in [TimeSpan.seconds(3600), .seconds(-3600)] {
            var world = ScriptedConsumer()
            world.begin()
            world.submit(["a"], window: .seconds(90_000))
            world.isQueueDown = true
            world.serve("a", answer(500, retryAfter: .seconds(100)))
            let end = world.now.steady + .seconds(100)
            world.moveWallClock(step)
            world.isQueueDown = false
            world.pass(.seconds(6))
            let pause = world.releases.first.map { $0.readyAt - world.now.wall } ?? .zero
            #expect(world.now.steady + pause >= end && pause <= .seconds(130))
        }
    }

    @Test func whatIsHandedBackIsFreeWhateverTheClockSaysWhenItIsStored() {
        var world = ScriptedConsumer()
        world.begin()
        world.submit(["a"])
        world.isQueueSlow = true
        world.stop()
        world.moveWallClock(.seconds(-3600))
        world.answerCalls()
        #expect(world.releases.map { $0.readyAt <= world.now.wall } == [true])
        #expect(world.machine.isDone && world.counters.handedBack == 1)
    }

    @Test func aMessageWithExactlyAsMuchTimeLeftAsItTakesIsLookedAtAndGoesOn() {
        var world = ScriptedConsumer { $0.maximumInFlight = 1 }
        world.begin()
        for index in 0..<16 {
            world.submit(["known\(index)"])
            world.serve("known\(index)", taking: .seconds(10))
        }
        world.submit(["first"])
        world.submit(["second"], window: .seconds(30))
        world.pass(.seconds(20))
        world.pass(.milliseconds(2))
        #expect(world.results.count == 17 || world.withPool == ["first"])
    }
}
