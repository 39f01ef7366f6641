import Admission
import Basics
import Testing

@Suite struct WaitingRoomTests {
    @Test func higherBandsGoFirstAndArrivalDecidesInside() {
        var room = WaitingRoom()
        for (id, priority) in [(1, 0), (2, 5), (3, 0), (4, 5), (5, -1)] {
            #expect(room.admit(request(UInt64(id), priority: priority)) == nil)
        }
        #expect(room.dispatchAll() == [2, 4, 1, 3])
        #expect(room.realtimeCount == 0 && room.sheddableCount == 1)
        #expect(room.nextID(realtime: false) == 5)
    }

    @Test func bandsBelowTheFloorDoNotGetTheirTurn() {
        var room = WaitingRoom()
        _ = room.admit(request(1, priority: 2))
        #expect(room.nextID(floor: 3) == nil)
        #expect(room.nextID(floor: 2) == 1)
    }

    @Test func sheddableRequestsGoByDeadlineThenArrival() {
        var room = WaitingRoom()
        for (id, deadline) in [(1, 20.0), (2, 10.0), (3, 10.0), (4, 15.0)] {
            #expect(room.admit(request(UInt64(id), priority: -1, deadline: deadline)) == nil)
        }
        #expect(room.dispatchAll(realtime: false) == [2, 3, 4, 1])
    }

    @Test(arguments: [
        (FlowOrdering.firstCome, [3, 1, 2, 4] as [UInt64]),
        // Without a deadline the end of the time to live counts, which is 30 s here.
        (.earliestDeadline, [2, 4, 3, 1]),
        // 1: 1 + 3, 4: 2 + 1.5; those without a limit last, by arrival.
        (.serviceLevel, [4, 1, 2, 3]),
    ])
    func aFlowIsOrderedAsItsBandSays(ordering: FlowOrdering, expected: [UInt64]) {
        var configuration = AdmissionConfiguration()
        configuration.realtimeBand.ordering = ordering
        var room = WaitingRoom(configuration: configuration)
        let now = Instant(seconds: 2)
        let arrivals = [
            request(1, at: 1, ttftLimit: 3), request(2, at: 1.5, deadline: 20), request(3, at: 0.5),
            request(4, at: 2, timeToLive: 25, ttftLimit: 1.5),
        ]
        for arrival in arrivals { #expect(room.refusal(of: arrival, now: now) == nil) }
        #expect(room.dispatchAll(at: 2) == expected)
    }

    @Test func aBandIsBoundedInRequestsAndBytesAndSoIsTheNumberOfBands() {
        var room = WaitingRoom(configuration: .init(maxRequestsPerBand: 2, maxBytesPerBand: 100, maxBands: 2))
        func outcome(_ request: WaitingRequest) -> AdmissionRefusal? { room.insert(request, now: .zero).refusal }
        #expect(outcome(request(1, bytes: 60)) == nil)
        #expect(outcome(request(2, bytes: 60)) == .bandBytes)
        #expect(outcome(request(3, bytes: 40)) == nil)
        #expect(outcome(request(4)) == .bandRequests)
        #expect(outcome(request(5, counts: false)) == nil)
        #expect(outcome(request(6, priority: 1)) == nil)
        #expect(outcome(request(7, priority: 2)) == .bands)
        #expect(outcome(request(6, priority: 1)) == .duplicate)
        room.remove(1, now: .zero)
        #expect(outcome(request(8, bytes: 60)) == nil)
        #expect(room.count == 4)
        // An empty band gives its place to a new one.
        room.remove(6, now: .zero)
        #expect(outcome(request(9, priority: 2)) == nil)
        #expect(room.depths.map(\.priority) == [2, 0])
    }

    @Test func tokensAreBoundedPerBandAndInTotal() {
        var configuration = AdmissionConfiguration()
        configuration.realtimeBand.limits.tokens = 1000
        configuration.totalLimits.tokens = 1500
        var room = WaitingRoom(configuration: configuration)
        #expect(room.admit(request(1, input: 600, output: 300)) == nil)
        #expect(room.refusal(of: request(2, input: 101), now: .zero) == .bandTokens)
        #expect(room.admit(request(3, input: 100)) == nil)
        #expect(room.refusal(of: request(4, priority: 1, input: 501), now: .zero) == .totalTokens)
        #expect(room.admit(request(5, priority: 1, input: 500)) == nil)
    }

    @Test func realtimeWorkTakesThePlaceOfTheNewestOfTheLowestSheddableBand() {
        var configuration = AdmissionConfiguration()
        configuration.totalLimits = WaitingLimits(requests: 5, bytes: 100)
        var room = WaitingRoom(configuration: configuration)
        for (id, priority) in [(1, -5), (2, -5), (3, -1), (4, 0)] {
            #expect(room.admit(request(UInt64(id), priority: priority, bytes: 20)) == nil)
        }
        #expect(room.admit(request(5, priority: -5, bytes: 20, counts: false)) == nil)
        #expect(room.refusal(of: request(6, priority: -1, bytes: 40), now: .zero) == .totalBytes)
        #expect(
            room.insert(request(7, bytes: 50), now: .zero)
                == .admitted(evicted: [
                    request(2, priority: -5, bytes: 20), request(1, priority: -5, bytes: 20),
                ]))
        // Not even without any sheddable work would there be room for this one, so nobody has to leave.
        #expect(room.refusal(of: request(8, bytes: 60), now: .zero) == .totalBytes)
        #expect(room.count == 4)
        #expect(Set(room.dispatchAll(realtime: false)) == [3, 5])
    }

    @Test func aRequestThatComesBackGoesWhereItWas() {
        var room = WaitingRoom()
        for id in 1...3 { _ = room.admit(request(UInt64(id), at: Double(id))) }
        let first = room.dispatchNext(at: 4)
        #expect(first?.id == 1)
        #expect(room.refusal(of: request(1, at: 1), now: Instant(seconds: 5)) == nil)
        #expect(room.refusal(of: request(4, at: 2.5), now: Instant(seconds: 5)) == nil)
        #expect(room.expiredIDs(at: 31) == [1])
        #expect(room.expiredIDs(at: 32.5) == [2, 4])
        #expect(room.dispatchAll(at: 32.5) == [3])
    }

    @Test func thoseBehindTheHeadComeInTheOrderInWhichTheyWouldBeDispatched() {
        var configuration = AdmissionConfiguration()
        configuration.quantumTokens = 100
        for fairness in FlowFairness.allCases {
            configuration.realtimeBand.fairness = fairness
            var room = WaitingRoom(configuration: configuration)
            var generator = SeededGenerator(seed: 11)
            for id in 1...60 as ClosedRange<UInt64> {
                let flow = "f\(Int.random(in: 0..<5, using: &generator))"
                _ = room.admit(request(id, flow: flow, input: Int.random(in: 1...500, using: &generator)))
            }
            let behind = room.behindIDs(limit: 20)
            #expect(behind.count == 20)
            let order = room.dispatchAll()
            #expect(order[1...20].elementsEqual(behind))
        }
    }

    @Test func everybodyIsTakenOutOnce() {
        var room = WaitingRoom()
        for id in 1...5 as ClosedRange<UInt64> { _ = room.admit(request(id, priority: Int(id % 3) - 1)) }
        #expect(room.removeAll(now: .zero).count == 5)
        #expect(room.count == 0 && room.realtimeCount == 0 && room.depths.isEmpty)
        #expect(room.removeAll(now: .zero) == [])
    }

    @Test func theWorkAheadIsWhatGoesFirst() {
        var configuration = AdmissionConfiguration()
        configuration.realtimeBand.fairness = .tokenFair
        var room = WaitingRoom(configuration: configuration)
        _ = room.admit(request(1, priority: 1, input: 1000))
        for id in 2...11 as ClosedRange<UInt64> { _ = room.admit(request(id, flow: "heavy", input: 100)) }
        _ = room.admit(request(12, priority: -1, deadline: 5, input: 7))
        _ = room.admit(request(13, priority: -1, deadline: 9, input: 11))
        #expect(room.workAhead(of: request(20, priority: 2, input: 100)) == 0)
        // A newcomer waits for as much of the heavy flow as it brings itself, not for all of it.
        #expect(room.workAhead(of: request(20, flow: "light", input: 100)) == 1100)
        #expect(room.workAhead(of: request(20, flow: "heavy", input: 100)) == 2000)
        // Batch work goes by deadline.
        #expect(room.workAhead(of: request(20, priority: -1, deadline: 7, input: 100)) == 2007)
    }

    @Test func snapshotsSayWhatWaits() {
        var room = WaitingRoom()
        _ = room.admit(request(1, flow: "a", at: 1, bytes: 10, input: 5, output: 2))
        _ = room.admit(request(2, flow: "b", at: 2, bytes: 20, input: 50))
        _ = room.admit(request(3, priority: -1, at: 3))
        let bands = room.bandSnapshots(now: Instant(seconds: 5))
        #expect(
            bands == [
                BandSnapshot(
                    priority: 0, requests: 2, bytes: 30, tokens: 57, flows: 2, oldestWait: .seconds(4), jainIndex: nil),
                BandSnapshot(
                    priority: -1, requests: 1, bytes: 0, tokens: 0, flows: 1, oldestWait: .seconds(2), jainIndex: nil),
            ])
        _ = room.dispatchNext(at: 6)
        _ = room.dispatchNext(at: 6)
        let top = room.flowSnapshots(limit: 1)
        #expect(
            top == [FlowSnapshot(flow: "b", priority: 0, isOverflow: false, requests: 0, servedTokens: 50)])
    }
}
