import Basics
import InferenceAPI
import PoolScheduler
import Testing

@testable import Gateway

@Suite("Exchange state machine")
struct ExchangeStateMachineTests {
    private typealias Machine = ExchangeStateMachine

    private func routed(bodyIsComplete: Bool = true) -> ExchangeStateMachine {
        var machine = Machine(maxAttempts: 2)
        _ = machine.bodyArrived()
        if bodyIsComplete { _ = machine.bodyEnded() }
        _ = machine.routed()
        return machine
    }

    private func sent(isReused: Bool = false, bodyIsComplete: Bool = true) -> ExchangeStateMachine {
        var machine = routed(bodyIsComplete: bodyIsComplete)
        _ = machine.placed()
        _ = machine.connected(isReused: isReused)
        return machine
    }

    @Test("a plain request is submitted, placed, sent, answered and reported")
    func plain() {
        var machine = Machine(maxAttempts: 2)
        #expect(machine.bodyArrived() == .hold)
        #expect(machine.bodyEnded() == [])
        #expect(machine.routed() == [.submit])
        #expect(machine.placed() == [.connect(mayReuse: true)])
        #expect(machine.connected(isReused: true) == [.sendRequest])
        machine.answerArrived()
        #expect(machine.answerBodyArrived() == .begin)
        #expect(machine.answerBodyArrived() == .forward)
        #expect(machine.answerEnded() == [.endAnswer, .reportFinished])
        #expect(machine.hasEnded)
    }

    @Test("a long body is paused while it waits, then streamed, and cannot be repeated once a piece was not held")
    func longBody() {
        var machine = Machine(maxAttempts: 2)
        _ = machine.bodyArrived()
        #expect(machine.routed() == [.pauseClient, .submit])
        #expect(machine.bodyArrived() == .hold)
        _ = machine.placed()
        #expect(machine.connected(isReused: false) == [.sendRequest, .resumeClient])
        #expect(machine.isReplayable)
        #expect(machine.bodyArrived() == .forward)
        #expect(machine.bodyEnded() == [.finishRequest])
        #expect(machine.upstreamLost() == [.withdraw, .fail(.upstreamBroke)])
    }

    @Test("an answer without a body still has a head")
    func emptyAnswer() {
        var machine = sent()
        machine.answerArrived()
        #expect(machine.answerEnded() == [.beginAnswer, .endAnswer, .reportFinished])
    }

    @Test("a reused connection that dies in silence is replaced once by a new one to the same endpoint")
    func stale() {
        var machine = sent(isReused: true)
        #expect(machine.upstreamLost() == [.connect(mayReuse: false)])
        #expect(machine.attempts == 1)
        _ = machine.connected(isReused: false)
        #expect(machine.upstreamLost() == [.reportFailedBeforeAnswer])
    }

    @Test("a failed endpoint is replaced until the attempts are used up")
    func attempts() {
        var machine = routed()
        _ = machine.placed()
        #expect(machine.connectFailed() == [.reportUnreachable, .reportFailedBeforeAnswer])
        #expect(machine.placed() == [.connect(mayReuse: true)])
        #expect(machine.connectFailed() == [.reportUnreachable, .withdraw, .fail(.unreachable)])
    }

    @Test("an answer that breaks off is repeated elsewhere only while the client has seen nothing of it")
    func breakingOff() {
        var unseen = sent()
        unseen.answerArrived()
        #expect(unseen.upstreamLost() == [.reportFailedBeforeAnswer])
        var seen = sent()
        seen.answerArrived()
        _ = seen.answerBodyArrived()
        #expect(seen.upstreamLost() == [.withdraw, .cut(.upstreamBroke)])
    }

    @Test("a dismissal counts in any phase, and a start that it overtook is ignored")
    func dismissal() {
        var waiting = routed()
        #expect(waiting.dismissed(.evicted) == [.fail(.evicted)])
        #expect(waiting.placed() == [])
        var running = sent()
        #expect(running.dismissed(.evicted) == [.closeUpstream, .fail(.evicted)])
        var answering = sent()
        answering.answerArrived()
        _ = answering.answerBodyArrived()
        #expect(answering.dismissed(.evicted) == [.closeUpstream, .cut(.evicted)])
    }

    @Test("a client that leaves ends the request in every phase")
    func leaving() {
        var receiving = Machine(maxAttempts: 2)
        #expect(receiving.clientLeft() == [])
        var waiting = routed()
        #expect(waiting.clientLeft() == [.withdraw])
        var running = sent()
        #expect(running.clientLeft() == [.closeUpstream, .withdraw])
        #expect(running.clientLeft() == [])
    }

    /// What must hold whatever happens in whatever order, in random lives.
    @Test("every life leaves nothing in the scheduler, answers at most once, and stays quiet after its end")
    func randomLives() {
        var generator = SeededGenerator(seed: 7)
        for _ in 0..<20_000 {
            var machine = Machine(maxAttempts: 3)
            var world = World()
            var steps = 0
            while !machine.hasEnded, steps < 200 {
                steps += 1
                world.act(on: &machine, using: &generator)
            }
            if !machine.hasEnded { world.apply(machine.clientLeft(), machine) }
            #expect(!world.isInScheduler)
            #expect(!world.hasConnection)
            #expect(world.endings <= 1)
            #expect(machine.abandoned(.drained).isEmpty && machine.clientLeft().isEmpty && machine.placed().isEmpty)
            #expect(machine.answerBodyArrived() == .discard && machine.bodyArrived() == .discard)
        }
    }

    /// A scheduler, an endpoint and a client reduced to what they may do next.
    private struct World {
        var isInScheduler = false
        var hasConnection = false
        var endings = 0
        var hasBegun = false
        private var bodyEnded = false

        mutating func act(on machine: inout ExchangeStateMachine, using generator: inout SeededGenerator) {
            switch (machine.phase, Int.random(in: 0..<8, using: &generator)) {
            case (_, 0) where !bodyEnded: _ = machine.bodyArrived()
            case (_, 1) where !bodyEnded:
                bodyEnded = true
                apply(machine.bodyEnded(), machine)
            case (.receiving, 2): apply(machine.routed(), machine)
            case (.waiting, 2...5): apply(machine.placed(), machine)
            case (.waiting, 6):
                isInScheduler = false
                apply(machine.dismissed(.evicted), machine)
            case (.connecting, 2...4):
                hasConnection = true
                apply(machine.connected(isReused: Bool.random(using: &generator)), machine)
            case (.connecting, 5): apply(machine.connectFailed(), machine)
            case (.awaitingAnswer, 2), (.awaitingAnswer, 3): machine.answerArrived()
            case (.answering, 2), (.answering, 3):
                if machine.answerBodyArrived() == .begin {
                    #expect(!hasBegun)
                    hasBegun = true
                }
            case (.answering, 4):
                hasConnection = false
                apply(machine.answerEnded(), machine)
            case (.awaitingAnswer, 5), (.answering, 5):
                hasConnection = false
                apply(machine.upstreamLost(), machine)
            case (_, 7) where Int.random(in: 0..<4, using: &generator) == 0:
                apply(machine.abandoned(.drained), machine)
            default: break
            }
        }

        mutating func apply(_ actions: [ExchangeStateMachine.Action], _ machine: ExchangeStateMachine) {
            for action in actions {
                switch action {
                case .submit:
                    #expect(!isInScheduler)
                    isInScheduler = true
                case .withdraw, .reportFinished:
                    #expect(isInScheduler)
                    isInScheduler = false
                case .reportFailedBeforeAnswer, .reportUnreachable: #expect(isInScheduler)
                case .sendRequest, .finishRequest: #expect(hasConnection)
                case .closeUpstream: hasConnection = false
                case .beginAnswer:
                    #expect(!hasBegun)
                    hasBegun = true
                case .endAnswer: endings += 1
                case .fail:
                    #expect(!hasBegun)
                    endings += 1
                case .cut:
                    #expect(hasBegun)
                    endings += 1
                case .connect, .pauseClient, .resumeClient: break
                }
            }
        }
    }
}
