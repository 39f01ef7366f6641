import Testing

@testable import Routing

@Suite struct ModelRewriteTests {
    private func shares(of rewrite: ModelRewrite, sessions: Int = 20_000) -> [String: Double] {
        var counts: [String: Int] = [:]
        for session in 0..<sessions {
            counts[rewrite.target(for: "session-\(session)")?.model ?? "none", default: 0] += 1
        }
        return counts.mapValues { Double($0) / Double(sessions) }
    }

    @Test func trafficIsSplitByWeight() throws {
        let rewrite = ModelRewrite(
            model: "chat",
            targets: [.init(model: "old", weight: 90), .init(model: "new", weight: 10), .init(model: "off", weight: 0)])
        let shares = shares(of: rewrite)
        #expect(abs(try #require(shares["new"]) - 0.1) < 0.01)
        #expect(abs(try #require(shares["old"]) - 0.9) < 0.01)
        #expect(shares["off"] == nil)
    }

    @Test func targetsWithoutAnyWeightShareEvenly() throws {
        let rewrite = ModelRewrite(
            model: "chat", targets: ["a", "b", "c", "d"].map { .init(model: $0, weight: 0) })
        for share in shares(of: rewrite).values { #expect(abs(share - 0.25) < 0.02) }
    }

    @Test func aSessionStaysWhereItIs() {
        let rewrite = ModelRewrite(
            model: "chat", targets: [.init(model: "a", weight: 1), .init(model: "b", weight: 1)])
        for session in 0..<100 {
            let first = rewrite.target(for: "s\(session)")
            #expect((0..<5).allSatisfy { _ in rewrite.target(for: "s\(session)") == first })
        }
    }

    @Test func onlyAsManySessionsMoveAsTheNewWeightsAskFor() {
        let before = ModelRewrite(
            model: "chat", targets: [.init(model: "old", weight: 95), .init(model: "new", weight: 5)])
        let after = ModelRewrite(
            model: "chat", targets: [.init(model: "old", weight: 90), .init(model: "new", weight: 10)])
        var moved = 0
        var movedBack = 0
        for session in 0..<20_000 {
            let (was, now) = (before.target(for: "s\(session)")?.model, after.target(for: "s\(session)")?.model)
            if was != now { moved += 1 }
            if was == "new", now == "old" { movedBack += 1 }
        }
        #expect(abs(Double(moved) / 20_000 - 0.05) < 0.01)
        #expect(movedBack == 0)
    }

    @Test func aRuleWithoutTargetsNamesNone() {
        #expect(ModelRewrite(model: "chat", targets: []).target(for: "x") == nil)
    }
}
