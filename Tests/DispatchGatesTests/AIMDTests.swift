import Basics
import DispatchGates
import Testing

@Suite struct AIMDTests {
    private static let reserved = ["classification": "reserved", "tier": "interactive"]
    private static let middle = ["classification": "overflow", "tier": "async"]
    private static let lowest = ["classification": "overflow", "tier": "batch"]

    private func bench(_ change: (inout GateConfiguration.AIMD) -> Void = { _ in }) -> GateBench {
        var gate = GateConfiguration.AIMD()
        change(&gate)
        return GateBench(.aimd(gate))
    }

    private func window(_ bench: GateBench, _ band: String = "overflow-batch") -> Double? {
        bench.gate.statuses(now: bench.now)[0].windows.first { $0.band == band }?.window
    }

    /// Sends one request now and tells how it ended a moment later.
    private func send(
        _ bench: inout GateBench, _ lesson: GateLesson, _ labels: [String: String] = lowest,
        advice: GateAdvice = .init()
    ) {
        bench.pass(0.001)
        let sentAt = bench.now
        #expect(bench.apply(1_000_000, labels).isProceed)
        bench.pass(0.001)
        bench.gate.learn(lesson, of: 1_000_000, sentAt: sentAt, now: bench.now, advice: advice)
        bench.gate.release(1_000_000)
    }

    @Test func aWindowBoundsWhatIsInFlight() {
        var bench = bench { $0.minWindow = 2 }
        #expect(bench.gate.reportedBudget(now: bench.now) == 1)
        #expect(bench.apply(1).isProceed && bench.gate.reportedBudget(now: bench.now) == 0.5)
        #expect(bench.apply(2).isProceed && bench.apply(3).isRefuse)
        #expect(bench.gate.reportedBudget(now: bench.now) == 0 && bench.budget == 1, "other lanes are open")
        #expect(bench.apply(4, Self.middle).isProceed)
        bench.gate.release(1)
        #expect(bench.apply(3).isProceed)
    }

    @Test func onlyReservedRequestsWait() {
        var bench = bench()
        #expect(bench.apply(1, Self.reserved).isProceed && bench.apply(2, Self.reserved) == .wait)
        #expect(bench.apply(3, Self.lowest).isProceed && bench.apply(4, Self.lowest).isRefuse)
    }

    @Test func theWindowGrowsByOnePerAcceptInSlowStartAndByOnePerWindowBeyond() {
        var bench = bench()
        for _ in 0..<7 { send(&bench, .accepted) }
        #expect(window(bench) == 8)
        send(&bench, .rejectedForCapacity(retryAfter: nil))
        #expect(window(bench) == 4)
        send(&bench, .accepted)
        #expect(window(bench) == 4.25)
        send(&bench, .accepted)
        #expect(isNear(window(bench) ?? 0, 4.25 + 1 / 4.25))
    }

    @Test func theWindowStaysWithinItsBounds() {
        var bench = bench {
            $0.minWindow = 2
            $0.maxWindow = 4
        }
        for _ in 0..<20 { send(&bench, .accepted) }
        #expect(window(bench) == 4)
        for _ in 0..<20 { send(&bench, .rejectedForCapacity(retryAfter: nil)) }
        #expect(window(bench) == 2)
    }

    @Test func oneFlightOfRejectionsDecreasesOnce() {
        var bench = bench { $0.minWindow = 1 }
        for _ in 0..<15 { send(&bench, .accepted) }
        let sentAt = bench.now
        for id in 1...16 { #expect(bench.apply(UInt64(id)).isProceed) }
        for id in 1...16 {
            bench.pass(0.01)
            bench.gate.learn(.rejectedForCapacity(retryAfter: nil), of: UInt64(id), sentAt: sentAt, now: bench.now)
            bench.gate.release(UInt64(id))
        }
        #expect(window(bench) == 8)
        bench.gate.learn(.accepted, of: 1, sentAt: sentAt, now: bench.now)
        #expect(window(bench) == 8, "a released request teaches nothing")
        #expect(bench.apply(17).isProceed)
        bench.gate.learn(.accepted, of: 17, sentAt: sentAt, now: bench.now)
        #expect(window(bench) == 8, "what was sent before the decrease does not grow the window")
    }

    @Test func anExpiryInTheGatewaysQueueShrinksGently() {
        var bench = bench()
        for _ in 0..<9 { send(&bench, .accepted) }
        send(&bench, .queueExpired)
        #expect(isNear(window(bench) ?? 0, 9))
        send(&bench, .evicted)
        send(&bench, .other)
        #expect(isNear(window(bench) ?? 0, 9))
    }

    @Test func retryAfterClosesTheBandUntilThenAndItReopensInSlowStart() {
        var bench = bench()
        for _ in 0..<7 { send(&bench, .accepted) }
        send(&bench, .rejectedForCapacity(retryAfter: .seconds(5)))
        let closedAt = bench.now
        #expect(window(bench) == 1 && bench.apply(1).isRefuse)
        #expect(bench.gate.opensAt(now: bench.now) == closedAt + .seconds(5))
        bench.now = closedAt + .seconds(4.999)
        #expect(bench.apply(1).isRefuse)
        bench.now = closedAt + .seconds(5)
        #expect(bench.gate.opensAt(now: bench.now) == nil)
        send(&bench, .accepted)
        send(&bench, .accepted)
        send(&bench, .accepted)
        #expect(window(bench) == 4, "slow start up to half of what it was")
        send(&bench, .accepted)
        #expect(window(bench) == 4.25)
    }

    @Test func aRejectionDecreasesTheBandsBelowAndHoldsThoseAbove() {
        var bench = bench()
        for labels in [Self.reserved, Self.middle, Self.lowest] {
            for _ in 0..<7 { send(&bench, .accepted, labels) }
        }
        send(&bench, .rejectedForCapacity(retryAfter: .seconds(2)), Self.middle)
        #expect(window(bench, "overflow-async") == 1)
        #expect(window(bench) == 1 && bench.apply(1, Self.lowest).isRefuse, "the close goes down the ladder")
        #expect(window(bench, "reserved-interactive") == 8)
        send(&bench, .accepted, Self.reserved)
        #expect(window(bench, "reserved-interactive") == 8, "held")
        bench.pass(1)
        send(&bench, .accepted, Self.reserved)
        #expect(window(bench, "reserved-interactive") == 9, "the hold is over")
    }

    @Test func anAcceptBelowReleasesTheHoldOnlyIfItWasSentAfterIt() {
        var bench = bench { $0.holdDuration = .seconds(60) }
        for labels in [Self.reserved, Self.middle, Self.lowest] {
            for _ in 0..<3 { send(&bench, .accepted, labels) }
        }
        let early = bench.now
        #expect(bench.apply(1, Self.middle).isProceed)
        send(&bench, .queueExpired, Self.lowest)
        bench.gate.learn(.accepted, of: 1, sentAt: early, now: bench.now)
        send(&bench, .accepted, Self.reserved)
        #expect(window(bench, "reserved-interactive") == 4)
        send(&bench, .accepted, Self.middle)
        send(&bench, .accepted, Self.reserved)
        #expect(window(bench, "reserved-interactive") == 5)
    }

    @Test func adviceCapsHoldsAndShrinks() {
        var bench = bench { $0.queueDurationTarget = .milliseconds(100) }
        for _ in 0..<9 { send(&bench, .accepted) }
        send(&bench, .accepted, advice: GateAdvice(queueDuration: .milliseconds(100)))
        #expect(window(bench) == 10)
        send(&bench, .accepted, advice: GateAdvice(queueDuration: .milliseconds(200)))
        #expect(window(bench) == 9)
        send(&bench, .other, advice: GateAdvice(bandHeadroom: 3))
        #expect(window(bench) == 4, "one in flight and room for three")
        send(&bench, .other, advice: GateAdvice(bandHeadroom: .nan))
        #expect(window(bench) == 4)
    }
}
