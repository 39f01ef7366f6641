import Admission
import Basics
import Testing

@Suite struct FairnessTests {
    private func room(
        _ fairness: FlowFairness = .tokenFair, quantum: Double = 100,
        configure: (inout AdmissionConfiguration) -> Void = { _ in }
    ) -> WaitingRoom {
        var configuration = AdmissionConfiguration(maxRequestsPerBand: 1_000_000, timeToLive: .seconds(1e6))
        configuration.realtimeBand.fairness = fairness
        configuration.quantumTokens = quantum
        configure(&configuration)
        return WaitingRoom(configuration: configuration)
    }

    @Test func roundRobinTakesOneRequestOfEachFlowPerTurn() {
        var room = room(.roundRobin)
        for (id, flow) in ["a", "a", "a", "b", "b", "c"].enumerated() {
            _ = room.admit(request(UInt64(id), flow: flow, input: flow == "a" ? 5000 : 1))
        }
        #expect(room.dispatchAll() == [0, 3, 5, 1, 4, 2])
    }

    @Test func aTurnIsAQuantumOfTokensOutputCountingTwice() {
        var room = room(quantum: 100)
        // a's cost 40 + 2 · 10 = 60 each: two in round 0 (at 0 and 60), two in round 1 (120, 180), one in 2 (240), one
        // in 3 (300). b, which came second, begins in round 1 and sends one per round, the first before a gets there.
        for id in 0..<6 as Range<UInt64> { _ = room.admit(request(id, flow: "a", input: 40, output: 10)) }
        for id in 10..<14 as Range<UInt64> { _ = room.admit(request(id, flow: "b", input: 100)) }
        #expect(room.dispatchAll() == [0, 1, 10, 2, 3, 11, 4, 12, 5, 13])
    }

    @Test func aFlowWithHugeRequestsPaysForThemInTurns() {
        var room = room(quantum: 100)
        for id in 0..<3 as Range<UInt64> { _ = room.admit(request(id, flow: "huge", input: 1000)) }
        for id in 10..<40 as Range<UInt64> { _ = room.admit(request(id, flow: "small", input: 100)) }
        let order = room.dispatchAll()
        // One huge request is worth ten small ones.
        #expect(order.firstIndex(of: 1) == 10)
        #expect(order.firstIndex(of: 2) == 21)
    }

    @Test func aFlowThatWasIdleHasSavedNothingUp() {
        var room = room(quantum: 100)
        for id in 0..<200 as Range<UInt64> { _ = room.admit(request(id, flow: "busy", input: 100)) }
        for _ in 0..<100 { _ = room.dispatchNext() }
        for id in 1000..<1100 as Range<UInt64> { _ = room.admit(request(id, flow: "back", input: 100)) }
        let next = (0..<40).compactMap { _ in room.dispatchNext()?.flow }
        #expect(next.count { $0 == "back" } == 20)
    }

    @Test func refundsOfWorkBeforeAnIdleTimeAreNotSavedUpEither() {
        var room = room(quantum: 100)
        let dear = TokenUse(uncachedInputTokens: 5000, outputTokens: 0)
        _ = room.admit(request(0, flow: "late", input: 5000))
        for id in 1..<300 as Range<UInt64> { _ = room.admit(request(id, flow: "busy", input: 100)) }
        for _ in 0..<150 { _ = room.dispatchNext() }
        for id in 1000..<1100 as Range<UInt64> { _ = room.admit(request(id, flow: "late", input: 100)) }
        room.settle(flow: "late", priority: 0, estimated: dear, actual: .none, now: .zero)
        let next = (0..<40).compactMap { _ in room.dispatchNext()?.flow }
        #expect((19...21).contains(next.count { $0 == "late" }))
    }

    @Test func whatARequestReallyTookIsMadeUpFor() {
        let estimate = TokenUse(uncachedInputTokens: 100, outputTokens: 0)
        // Of 30 turns: a refunded request is one more for its flow; who owes ten requests first lets nine of the other
        // pass.
        for (actual, expected) in [(0, 16), (100, 15), (1100, 11)] {
            var room = room(quantum: 100)
            for id in 0..<100 as Range<UInt64> { _ = room.admit(request(id, flow: "a", input: 100)) }
            for id in 100..<200 as Range<UInt64> { _ = room.admit(request(id, flow: "b", input: 100)) }
            for _ in 0..<20 { _ = room.dispatchNext() }
            room.settle(
                flow: "a", priority: 0, estimated: estimate,
                actual: TokenUse(uncachedInputTokens: actual, outputTokens: 0), now: .zero)
            let next = (0..<30).compactMap { _ in room.dispatchNext()?.flow }
            #expect(next.count { $0 == "a" } == expected)
        }
    }

    @Test func newcomersCannotKeepOutWhoIsThere() {
        var room = room(quantum: 100)
        for id in 0..<50 as Range<UInt64> { _ = room.admit(request(id, flow: "steady", input: 100)) }
        var served = 0
        for step in 0..<200 as Range<UInt64> {
            for part in 0..<2 as Range<UInt64> {
                _ = room.admit(request(1000 + 2 * step + part, flow: "new-\(step)-\(part)", input: 100))
            }
            if room.dispatchNext()?.flow == "steady" { served += 1 }
        }
        // With two newcomers for every dispatch each round is about three times as long as the last: few, but never
        // none.
        #expect(served >= 5)
    }

    @Test func weightsDivideTheTokens() {
        var room = room(quantum: 100) { $0.flowWeights = ["gold": 3] }
        for id in 0..<400 as Range<UInt64> {
            _ = room.admit(request(id, flow: id % 2 == 0 ? "gold" : "plain", input: 100))
        }
        let next = (0..<160).compactMap { _ in room.dispatchNext()?.flow }
        #expect((118...122).contains(next.count { $0 == "gold" }))
    }

    @Test func flowsBeyondTheBoundShareOneAndIdleOnesAreForgotten() {
        var room = room(quantum: 100) {
            $0.maxFlowsPerBand = 3
            $0.idleFlowTimeout = .seconds(60)
        }
        for id in 0..<40 as Range<UInt64> { _ = room.admit(request(id, flow: "f\(id % 10)", input: 100)) }
        let flows = room.flowSnapshots(limit: 100)
        #expect(flows.map(\.flow) == ["f0", "f1", "f2", "other"])
        #expect(flows.map(\.requests) == [4, 4, 4, 28])
        #expect(flows.map(\.isOverflow) == [false, false, false, true])
        let order = room.dispatchAll(at: 1)
        #expect(Set(order).count == 40)
        #expect(room.expiredIDs(at: 60) == [])
        #expect(room.flowSnapshots(limit: 100).count == 4)
        _ = room.removeExpired(now: Instant(seconds: 61))
        #expect(room.flowSnapshots(limit: 100).isEmpty)
    }

    @Test func oneShotFlowsDoNotFillTheTable() {
        var room = room { $0.maxFlowsPerBand = 8 }
        for id in 0..<1000 as Range<UInt64> {
            room.dispatchedWithoutWaiting(request(id, flow: "visitor-\(id)", input: 3000), now: .zero)
        }
        let flows = room.flowSnapshots(limit: 100)
        #expect(flows.count == 8 && flows.allSatisfy { !$0.isOverflow })
    }

    @Test func workThatNeverWaitedIsChargedToo() {
        var room = room(quantum: 100)
        room.dispatchedWithoutWaiting(request(0, flow: "a", input: 500), now: .zero)
        for id in 1..<11 as Range<UInt64> { _ = room.admit(request(id, flow: "a", input: 100)) }
        for id in 11..<21 as Range<UInt64> { _ = room.admit(request(id, flow: "b", input: 100)) }
        let next = (0..<8).compactMap { _ in room.dispatchNext()?.flow }
        #expect(next == ["b", "b", "b", "b", "a", "b", "a", "b"])
    }

    /// Ten tenants, one of them with ten times the load, requests of very different sizes, estimates that are off by
    /// up to a factor of two, and truth that comes some dispatches later.
    @Test(arguments: 0..<5 as Range<UInt64>)
    func aTenantWithTenTimesTheLoadGetsNoMoreThanItsShare(seed: UInt64) throws {
        var room = room(quantum: 2048)
        var generator = SeededGenerator(seed: seed)
        var id: UInt64 = 0
        var served: [String: Double] = [:]
        var inFlight: [(request: WaitingRequest, actual: TokenUse)] = []
        func tenantWaits(_ tenant: Int) -> Bool {
            room.flowSnapshots(limit: 100).contains { $0.flow == "t\(tenant)" && $0.requests > 0 }
        }
        for step in 0..<6000 {
            let now = Double(step) * 0.01
            for tenant in 0..<10 {
                let scale = tenant == 0 ? 10 : 1
                for _ in 0..<scale where generator.unit() < 0.3 {
                    id += 1
                    let size = tenant % 3 == 2 ? 8000 : 600
                    _ = room.admit(
                        request(
                            id, flow: "t\(tenant)", at: now, input: Int.random(in: 50..<size, using: &generator),
                            output: Int.random(in: 10..<400, using: &generator)))
                }
            }
            guard let next = room.dispatchNext(at: now) else { continue }
            let factor = 0.5 + 1.5 * generator.unit()
            let actual = TokenUse(
                uncachedInputTokens: next.use.uncachedInputTokens,
                outputTokens: Int(Double(next.use.outputTokens) * factor))
            inFlight.append((next, actual))
            if step >= 1000 { served[next.flow, default: 0] += actual.cost(outputWeight: 2) }
            if inFlight.count > 20 {
                let done = inFlight.removeFirst()
                room.settle(
                    flow: done.request.flow, priority: 0, estimated: done.request.use, actual: done.actual,
                    now: Instant(seconds: now))
            }
        }
        #expect((0..<10).allSatisfy(tenantWaits))
        let index = try #require(jainIndex(of: served.sorted { $0.key < $1.key }.map(\.value)))
        #expect(served.count == 10 && index >= 0.98, "Jain index \(index)")
        let band = try #require(room.bandSnapshots(now: Instant(seconds: 60)).first)
        #expect(try #require(band.jainIndex) >= 0.95)
    }

    @Test func aLightTenantWaitsNoLongerBesideAHeavyOne() {
        /// The longest wait of light requests, in dispatches.
        func longestWait(heavyPerStep: Int) -> Int {
            var room = room(quantum: 500)
            var longest = 0
            var id: UInt64 = 0
            for step in 0..<2000 {
                for _ in 0..<heavyPerStep {
                    id += 1
                    _ = room.admit(request(id, flow: "heavy", at: Double(step), input: 500))
                }
                if step % 10 == 0 {
                    id += 1
                    _ = room.admit(request(id, flow: "light", at: Double(step), input: 500))
                }
                if let next = room.dispatchNext(at: Double(step)), next.flow == "light" {
                    longest = max(longest, step - Int(next.enqueued.seconds))
                }
            }
            return longest
        }
        #expect(longestWait(heavyPerStep: 1) <= 2)
        #expect(longestWait(heavyPerStep: 10) <= 2)
    }

    @Test(arguments: [([1, 1, 1], 1), ([1, 0, 0, 0], 0.25), ([1, 2, 3], 36.0 / 42)] as [([Double], Double)])
    func theJainIndexIsAsPublished(shares: [Double], expected: Double) throws {
        #expect(abs(try #require(jainIndex(of: shares)) - expected) < 1e-12)
    }

    @Test func theJainIndexOfNothingIsUnknown() {
        #expect(jainIndex(of: []) == nil && jainIndex(of: [1]) == nil && jainIndex(of: [0, 0]) == nil)
    }
}
