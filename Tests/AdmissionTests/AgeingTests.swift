import Admission
import Basics
import Testing

@Suite struct AgeingTests {
    /// A room with a policy for one low band.
    private func room(priority: Int = 0, _ policy: BandPolicy) -> WaitingRoom {
        var configuration = AdmissionConfiguration(maxRequestsPerBand: 100_000, timeToLive: .seconds(1e6))
        configuration.bands[priority] = policy
        return WaitingRoom(configuration: configuration)
    }

    @Test func withoutAnExceptionALowBandWaitsForever() {
        var room = WaitingRoom(configuration: .init(maxRequestsPerBand: 100_000, timeToLive: .seconds(1e6)))
        _ = room.admit(request(0))
        for step in 1...1000 as ClosedRange<UInt64> {
            _ = room.admit(request(step, priority: 1, at: Double(step)))
            #expect(room.dispatchNextID(at: Double(step)) == step)
        }
    }

    /// Higher bands always have work; the low one gets bursts. One request is dispatched every 10 ms.
    @Test(arguments: 0..<5 as Range<UInt64>)
    func aRequestOfALowBandWaitsNoLongerThanTheBoundAndThoseBeforeIt(seed: UInt64) {
        let bound = 2.0
        var room = room(BandPolicy(ageingBound: .seconds(bound)))
        var generator = SeededGenerator(seed: seed)
        var id: UInt64 = 0
        var served = 0
        for step in 0..<6000 {
            let now = Double(step) * 0.01
            for _ in 0..<Int.random(in: 1...2, using: &generator) {
                id += 1
                _ = room.admit(
                    request(id, priority: Int.random(in: 1...9, using: &generator), at: now, input: 4000))
            }
            if generator.unit() < 0.02 {
                for _ in 0..<Int.random(in: 1...20, using: &generator) {
                    id += 1
                    _ = room.admit(request(id, flow: "f\(id % 3)", at: now, input: 100))
                }
            }
            // No two bursts are so close that more than 200 are overdue together.
            if let next = room.dispatchNext(at: now), next.priority == 0 {
                served += 1
                #expect(now - next.enqueued.seconds <= bound + 200 * 0.01)
            }
            let oldest = room.bandSnapshots(now: Instant(seconds: now)).last?.oldestWait ?? .zero
            #expect(oldest.seconds <= bound + 200 * 0.01)
        }
        #expect(served > 300)
    }

    @Test func sheddableWorkGoesBeforeRealtimeOnlyWhereTheOperatorSaysSo() {
        for across in [false, true] {
            var room = room(
                priority: -1, BandPolicy(ageingBound: .seconds(5), appliesAcrossClasses: across))
            _ = room.admit(request(1, priority: -1))
            _ = room.admit(request(2, at: 1))
            _ = room.admit(request(3, at: 1))
            #expect(room.nextID(at: 4.9) == 2)
            #expect(room.nextID(at: 5) == (across ? 1 : 2))
        }
    }

    @Test func thoseWhomAnOverdueRequestHasPassedMayPassItIfItDoesNotFit() {
        var room = room(BandPolicy(ageingBound: .seconds(5)))
        _ = room.admit(request(1))
        _ = room.admit(request(2, at: 1))
        for id in 3...4 as ClosedRange<UInt64> { _ = room.admit(request(id, priority: 1, at: 2)) }
        #expect(room.nextID(at: 5) == 1)
        #expect(room.behindIDs(at: 5, limit: 10) == [3, 4, 2])
        #expect(room.behindIDs(at: 5, limit: 2) == [3, 4])
    }

    @Test(arguments: [0.1, 0.25, 0.5])
    func aMinimumShareIsAShareOfTokens(share: Double) {
        var room = room(BandPolicy(limits: .init(), minimumShare: share))
        var generator = SeededGenerator(seed: 3)
        var tokens: [Int: Int] = [:]
        for id in 0..<20_000 as Range<UInt64> {
            let priority = id % 2 == 0 ? 0 : 7
            let size = priority == 0 ? 1...3000 : 1...500
            _ = room.admit(request(id, priority: priority, input: Int.random(in: size, using: &generator)))
        }
        for _ in 0..<4000 {
            if let next = room.dispatchNext() { tokens[next.priority, default: 0] += next.use.total }
        }
        let low = Double(tokens[0] ?? 0)
        #expect(abs(low / (low + Double(tokens[7] ?? 0)) - share) < 0.02)
    }

    @Test func aShareIsNotSavedUpWhileNothingWaits() {
        var room = room(BandPolicy(minimumShare: 0.5))
        _ = room.admit(request(0, input: 10))
        for id in 1...1000 as ClosedRange<UInt64> { _ = room.admit(request(id, priority: 1, input: 100)) }
        for _ in 0..<500 { _ = room.dispatchNext() }
        for id in 2000...2100 as ClosedRange<UInt64> { _ = room.admit(request(id, input: 100)) }
        let next = (0..<40).compactMap { _ in room.dispatchNext()?.priority }
        #expect((19...21).contains(next.count { $0 == 0 }))
    }

    @Test func whatABandGotWhileNobodyElseWaitedIsNotHeldAgainstIt() {
        var room = room(BandPolicy(minimumShare: 0.5))
        for id in 0..<1000 as Range<UInt64> { _ = room.admit(request(id, input: 100)) }
        for _ in 0..<800 { _ = room.dispatchNext() }
        for id in 1000..<1100 as Range<UInt64> { _ = room.admit(request(id, priority: 1, input: 100)) }
        let next = (0..<40).compactMap { _ in room.dispatchNext()?.priority }
        #expect((18...20).contains(next.count { $0 == 0 }))
    }
}
