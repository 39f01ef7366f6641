import Basics
import Pool
import Testing

@testable import Routing

@Suite struct PolicyRouterTests {
    private func table() -> CandidateTable {
        var table = weightedTable(4)
        table.scrapedWaiting = [4, 0, 2, 4]
        table.predictedTTFTMilliseconds = [5, 50, 20, 50]
        table.cachedBlocks = [0, 0, 0, 3]
        table.promptBlocks = 4
        return table
    }

    @Test func eachPolicyPicksByItsOwnLaw() {
        let table = table()
        var cost = PolicyRouter(.cost(.init()), identities: table.identities, seed: 1)
        #expect(cost.policy.name == "cost")
        #expect(cost.pick(weightedRequest(), among: table, now: .zero)?.endpoint == 0)
        var weighted = PolicyRouter(
            .weighted(WeightedPolicy(scorers: [.init("queue", .queue)])), identities: table.identities, seed: 1)
        #expect(weighted.policy.name == "weighted")
        #expect(weighted.pick(weightedRequest(), among: table, now: .zero)?.endpoint == 1)
    }

    @Test func scoresAreToldOnlyWhenAskedForWithTheirWeightedSum() throws {
        let table = table()
        let policy = WeightedPolicy(scorers: [
            .init("queue", .queue, weight: 2), .init("prefix", .prefixCache(.init()), weight: 3),
        ])
        var router = PolicyRouter(.weighted(policy), identities: table.identities, seed: 1)
        let plain = router.pick(weightedRequest(), among: table, now: .zero)
        #expect(try #require(plain).scores.isEmpty)
        let explained = router.pick(weightedRequest(), among: table, wantsScores: true, now: .zero)
        let choice = try #require(explained)
        #expect(choice.endpoint == 3)
        #expect(choice.scores[0] == ["queue": 0, "prefix": 0, "total": 0])
        #expect(choice.scores[1] == ["queue": 1, "prefix": 0, "total": 2])
        #expect(choice.scores[3] == ["queue": 0, "prefix": 0.75, "total": 2.25])
    }

    @Test func nobodyIsPickedWhereNobodyCanTakeTheRequest() {
        var table = table()
        table.isCandidate = [false, false, false, false]
        for policy in [RoutingPolicy.cost(.init()), .weighted(.routerDefault)] {
            var router = PolicyRouter(policy, identities: table.identities, seed: 1)
            #expect(router.pick(weightedRequest(), among: table, now: .zero) == nil)
        }
    }

    @Test func onlyWhatIsFollowedIsRemembered() throws {
        let table = weightedTable(4)
        let policy = WeightedPolicy(scorers: [.init("cold", .noHitLRU(capacity: 10))])
        var router = PolicyRouter(.weighted(policy), identities: table.identities, seed: 9)
        func next(isFollowed: Bool) throws -> Int {
            let picked = router.pick(weightedRequest(), among: table, now: .zero)
            let choice = try #require(picked)
            if isFollowed { router.follow(choice, for: weightedRequest(), now: .zero) }
            return choice.endpoint
        }
        var seen: Set<Int> = []
        for _ in 0..<4 {
            _ = try next(isFollowed: false)
            seen.insert(try next(isFollowed: true))
        }
        #expect(seen.count == 4, "the least recently used one is next, by what was followed")
    }

    @Test func equalSeedsDrawEqually() {
        let table = weightedTable(8)
        let policy = RoutingPolicy.weighted(WeightedPolicy(picker: WeightedPicker(.random)))
        func picks(seed: UInt64) -> [Int] {
            var router = PolicyRouter(policy, identities: table.identities, seed: seed)
            return (1...30).compactMap { router.pick(weightedRequest($0), among: table, now: .zero)?.endpoint }
        }
        #expect(picks(seed: 1) == picks(seed: 1))
        #expect(picks(seed: 1) != picks(seed: 2))
    }
}
