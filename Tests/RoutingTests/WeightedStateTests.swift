import Basics
import Pool
import Testing

@testable import Routing

/// What a pipeline remembers: the order of uncached prompts, and session bindings.
@Suite struct WeightedStateTests {
    private func coldScores(_ pipeline: inout WeightedPipeline, _ table: CandidateTable) -> [Double] {
        let receipt = pipeline.pick(for: weightedRequest(), among: table, now: .zero, wantsReceipt: true).receipt
        return receipt?.candidates.compactMap(\.scores.first) ?? []
    }

    private func send(_ pipeline: inout WeightedPipeline, _ table: CandidateTable, to endpoint: Int) {
        let decision = pipeline.pick(for: weightedRequest(), among: table, now: .zero)
        pipeline.picked(decision, for: weightedRequest(), endpoint: EndpointID(endpoint), now: .zero)
    }

    @Test func uncachedPromptsGoToTheLeastRecentlyUsedEndpoint() {
        var table = weightedTable(5)
        table.promptBlocks = 4
        let policy = WeightedPolicy(scorers: [.init("lru", .noHitLRU(capacity: 1024))])
        var pipeline = WeightedPipeline(policy, identities: table.identities, seed: 1)
        #expect(coldScores(&pipeline, table) == [1, 0.75, 0.5, 0.25, 0])
        send(&pipeline, table, to: 1)
        send(&pipeline, table, to: 3)
        // Unused: 0, 2, 4 at ranks 0, 1, 2; then 1 and 3 at ranks 3 and 4.
        #expect(coldScores(&pipeline, table) == [1, 0.25, 0.75, 0, 0.5])
        send(&pipeline, table, to: 1)
        #expect(coldScores(&pipeline, table) == [1, 0, 0.75, 0.25, 0.5])
        // A hit anywhere: neutral, and not remembered.
        table.cachedBlocks[4] = 1
        #expect(coldScores(&pipeline, table) == [0.5, 0.5, 0.5, 0.5, 0.5])
        send(&pipeline, table, to: 0)
        table.cachedBlocks[4] = 0
        #expect(coldScores(&pipeline, table) == [1, 0, 0.75, 0.25, 0.5])
    }

    @Test func ranksCountRememberedEndpointsThatAreNoCandidatesAndStopAtZero() {
        var table = weightedTable(4)
        let policy = WeightedPolicy(scorers: [.init("lru", .noHitLRU(capacity: 1024))])
        var pipeline = WeightedPipeline(policy, identities: table.identities, seed: 1)
        for endpoint in [0, 1, 2, 3] { send(&pipeline, table, to: endpoint) }
        table.isCandidate = [false, false, true, true]
        // Places 2 and 3 of 4, but only two candidates: 1 − 2/1 and 1 − 3/1, both clamped.
        #expect(coldScores(&pipeline, table) == [0, 0])
        table.isCandidate = [true, false, false, true]
        #expect(coldScores(&pipeline, table) == [1, 0])
        table.isCandidate = [false, false, false, true]
        #expect(coldScores(&pipeline, table) == [1])
    }

    @Test func theOldestEndpointIsForgottenWhenTheOrderIsFull() {
        let table = weightedTable(4)
        let policy = WeightedPolicy(scorers: [.init("lru", .noHitLRU(capacity: 2))])
        var pipeline = WeightedPipeline(policy, identities: table.identities, seed: 1)
        for endpoint in [0, 1, 2] { send(&pipeline, table, to: endpoint) }
        // 0 counts as unused again: ranks 0 and 1 for 0 and 3, then 1 and 2.
        #expect(isClose(coldScores(&pipeline, table), [1, 1.0 / 3, 0, 2.0 / 3]))
    }

    @Test func theOrderFollowsEndpointsByNameWhenThePoolChanges() {
        let table = weightedTable(3)
        let policy = WeightedPolicy(scorers: [.init("lru", .noHitLRU(capacity: 9))])
        var pipeline = WeightedPipeline(policy, identities: table.identities, seed: 1)
        for endpoint in [2, 0, 1] { send(&pipeline, table, to: endpoint) }
        let changed = CandidateTable(["e1", "new", "e2", "e3"].map { .init(name: $0) })
        // Unused: new and e3; then e2 before e1.
        #expect(isClose(coldScores(&pipeline, changed), [0, 1, 1.0 / 3, 2.0 / 3]))
    }

    private let byID = WeightedSessionAffinity.sessionID(
        sources: [.header("X-Session-ID"), .requestSession], idleLimit: .seconds(300))

    private func at(_ seconds: Double) -> Instant { Instant(seconds: seconds) }

    @Test func aSessionStaysWhereItWasServedUntilItIsIdleForTooLong() {
        let table = weightedTable(4)
        var pipeline = WeightedPipeline(
            WeightedPolicy(filters: [.init("session", .sessionAffinity(byID))]), identities: table.identities, seed: 1)
        let request = weightedRequest(headers: ["x-session-id": "s"])
        func kept(_ now: Instant) -> Int? {
            pipeline.pick(for: request, among: table, now: now, wantsReceipt: true).receipt?.candidates.count
        }
        #expect(kept(at(0)) == 4)
        let decision = pipeline.pick(for: request, among: table, now: at(0))
        pipeline.picked(decision, for: request, endpoint: EndpointID(2), now: at(0))
        #expect(kept(at(300)) == 1)
        #expect(pipeline.pick(for: request, among: table, now: at(300)).endpoint == EndpointID(2))
        #expect(kept(at(300.001)) == 4)
        let again = pipeline.pick(for: request, among: table, now: at(290))
        pipeline.picked(again, for: request, endpoint: EndpointID(2), now: at(290))
        #expect(kept(at(590)) == 1)
        var other = weightedRequest()
        other.session = "s"
        #expect(pipeline.pick(for: other, among: table, now: at(590)).endpoint == EndpointID(2))
    }

    @Test func aBindingMovesOnlyIfItsEndpointWasNotToBeHad() {
        var table = weightedTable(3)
        let scorer = WeightedPolicy(scorers: [.init("session", .sessionAffinity(byID))])
        var pipeline = WeightedPipeline(scorer, identities: table.identities, seed: 1)
        let request = weightedRequest(headers: ["x-session-id": "s"])
        func send(to endpoint: Int) {
            let decision = pipeline.pick(for: request, among: table, now: .zero)
            pipeline.picked(decision, for: request, endpoint: EndpointID(endpoint), now: .zero)
        }
        func scores() -> [Double] {
            let receipt = pipeline.pick(for: request, among: table, now: .zero, wantsReceipt: true).receipt
            return receipt?.candidates.compactMap(\.scores.first) ?? []
        }
        #expect(scores() == [0, 0, 0])
        send(to: 1)
        #expect(scores() == [0, 1, 0])
        send(to: 2)
        #expect(scores() == [0, 1, 0])
        table.isCandidate[1] = false
        #expect(scores() == [0, 0])
        send(to: 2)
        table.isCandidate[1] = true
        #expect(scores() == [0, 0, 1])
    }

    @Test func theTokenInAHeaderNamesTheEndpoint() {
        let table = weightedTable(3)
        let policy = WeightedPolicy(
            filters: [.init("session", .sessionAffinity(.endpointToken(header: "x-session-token")))])
        var pipeline = WeightedPipeline(policy, identities: table.identities, seed: 1)
        let headers = pipeline.responseHeaders(for: EndpointID(2))
        #expect(headers.map(\.name) == ["x-session-token"])
        #expect(headers.map(\.value) == ["ZTI="])
        func kept(_ token: String) -> Int? {
            let request = weightedRequest(headers: ["x-session-token": token])
            return pipeline.pick(for: request, among: table, now: .zero, wantsReceipt: true).receipt?.candidates.count
        }
        #expect(kept("ZTI=") == 1)
        #expect(kept("ZTk=") == 3)
        #expect(kept("not base64!") == 3)
        #expect(kept("") == 3)
        #expect(pipeline.responseHeaders(for: EndpointID(9)).isEmpty)
    }

    @Test(arguments: [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("ÿ?", "w78/")])
    func tokensAreBase64(_ name: String, _ token: String) {
        #expect(WeightedSessionAffinity.token(forEndpoint: name) == token)
    }

    @Test func bindingsAreBoundedAndTheOldestGoesFirst() {
        var bindings = WeightedSessionBindings(idleLimit: .seconds(1000))
        for number in 0..<(WeightedSessionBindings.capacity + 10) {
            bindings.used("s\(number)", endpoint: 0, mayMove: false, now: .zero)
        }
        #expect(bindings.count == WeightedSessionBindings.capacity)
        #expect(bindings.endpoint(of: "s9", now: .zero) == nil)
        #expect(bindings.endpoint(of: "s10", now: .zero) == 0)
        bindings.used("s10", endpoint: 0, mayMove: false, now: .zero)
        bindings.used("another", endpoint: 1, mayMove: false, now: .zero)
        #expect(bindings.endpoint(of: "s10", now: .zero) == 0)
        #expect(bindings.endpoint(of: "s11", now: .zero) == nil)
        bindings.used("late", endpoint: 1, mayMove: false, now: Instant(seconds: 2000))
        #expect(bindings.count == 1)
        bindings.used(String(repeating: "x", count: 300), endpoint: 1, mayMove: false, now: Instant(seconds: 2000))
        #expect(bindings.count == 1)
    }
}
