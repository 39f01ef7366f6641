import Admission
import Basics
import Testing

/// Who comes in while the band is full, and who has to leave for it.
@Suite struct DoorTests {
    private func room(_ limits: WaitingLimits, configure: (inout AdmissionConfiguration) -> Void = { _ in })
        -> WaitingRoom
    {
        var configuration = AdmissionConfiguration(timeToLive: .seconds(1e6))
        configuration.realtimeBand.limits = limits
        configure(&configuration)
        return WaitingRoom(configuration: configuration)
    }

    private func outcome(_ room: inout WaitingRoom, _ request: WaitingRequest) -> AdmissionOutcome {
        room.insert(request, now: request.enqueued)
    }

    @Test func theNewestOfTheFlowThatTakesUpMostLeavesForANewcomer() {
        var room = room(.init(requests: 4))
        for id in 1...3 as ClosedRange<UInt64> { _ = room.admit(request(id, flow: "large", at: Double(id))) }
        _ = room.admit(request(4, flow: "small", at: 4))
        let newest = request(3, flow: "large", at: 3)
        #expect(outcome(&room, request(5, flow: "small", at: 5)) == .admitted(evicted: [newest]))
        // Two each: nobody takes up more than the newcomer's flow would, whosever it is.
        #expect(outcome(&room, request(6, flow: "small", at: 6)) == .refused(.bandRequests))
        #expect(outcome(&room, request(7, flow: "large", at: 7)) == .refused(.bandRequests))
        #expect(outcome(&room, request(8, flow: "third", at: 8)).refusal == nil)
        #expect(room.count == 4)
    }

    @Test func aFlowGivesWayToNobodyElseOfItsOwnAndNobodyDoesWhereFlowsAreIgnored() {
        var room = room(.init(requests: 2))
        for id in 1...2 as ClosedRange<UInt64> { _ = room.admit(request(id, flow: "a")) }
        #expect(outcome(&room, request(3, flow: "a")) == .refused(.bandRequests))
        var strict = self.room(.init(requests: 2)) { $0.realtimeBand.fairness = .strict }
        for id in 1...2 as ClosedRange<UInt64> { _ = strict.admit(request(id, flow: "a")) }
        #expect(outcome(&strict, request(3, flow: "b")) == .refused(.bandRequests))
    }

    @Test func ofSeveralLimitsTheOneCountsOfWhichAFlowTakesUpMost() {
        var room = room(.init(requests: 100, bytes: 1000))
        // "many" holds 6 of 100 requests, "big" 900 of 1000 bytes.
        for id in 1...6 as ClosedRange<UInt64> { _ = room.admit(request(id, flow: "many", bytes: 10)) }
        for id in 7...9 as ClosedRange<UInt64> { _ = room.admit(request(id, flow: "big", bytes: 300)) }
        let leaving = request(9, flow: "big", bytes: 300)
        #expect(outcome(&room, request(10, flow: "new", bytes: 200)) == .admitted(evicted: [leaving]))
        #expect(outcome(&room, request(11, flow: "new", bytes: 700)) == .refused(.bandBytes))
        #expect(room.count == 9)
    }

    @Test func aFlowOfTwiceTheWeightMayTakeUpTwiceAsMuch() {
        var room = room(.init(requests: 6)) { $0.flowWeights = ["heavy": 2] }
        for id in 1...4 as ClosedRange<UInt64> { _ = room.admit(request(id, flow: "heavy")) }
        for id in 5...6 as ClosedRange<UInt64> { _ = room.admit(request(id, flow: "light")) }
        #expect(outcome(&room, request(7, flow: "light")) == .refused(.bandRequests))
        #expect(outcome(&room, request(8, flow: "third")).refusal == nil)
    }

    @Test func nobodyLeavesForOneWhoCannotComeInAllTheSame() {
        var room = room(.init(requests: 3)) { $0.totalLimits.bytes = 100 }
        for id in 1...3 as ClosedRange<UInt64> { _ = room.admit(request(id, flow: "large", bytes: 20)) }
        #expect(outcome(&room, request(4, flow: "small", bytes: 70)) == .refused(.totalBytes))
        #expect(room.count == 3)
        #expect(outcome(&room, request(5, flow: "small", bytes: 50)).refusal == nil)
    }

    /// Six flows, the largest of which asks for eight times as much as the smallest; half of it can be served.
    @Test(arguments: 0..<5 as Range<UInt64>)
    func whoFloodsTheDoorGetsNoMoreThanWhoDoesNot(seed: UInt64) throws {
        var room = room(.init(requests: 60)) { $0.quantumTokens = 500 }
        var generator = SeededGenerator(seed: seed)
        let weights = [1, 1, 2, 2, 4, 8]
        let arrivals = weights.indices.flatMap { Array(repeating: $0, count: weights[$0]) }
        var served = Array(repeating: 0.0, count: weights.count)
        for step in 0..<20_000 {
            let flow = arrivals[Int.random(in: arrivals.indices, using: &generator)]
            let tokens = Int.random(in: 100...1000, using: &generator)
            _ = room.admit(request(UInt64(step), flow: "f\(flow)", at: Double(step), input: tokens))
            // One in four: the smallest flows ask for 1 in 18, and their share is 1 in 24.
            if step % 4 == 0, let next = room.dispatchNext(at: Double(step)), step > 1000 {
                served[Int(next.flow.dropFirst()) ?? 0] += Double(next.use.total)
            }
            #expect(room.count <= 60)
        }
        let index = try #require(jainIndex(of: served))
        #expect(index >= 0.98, "\(served)")
    }
}
