import Basics
import Pool

@testable import Routing

/// A table of endpoints `e0`, `e1`, …, with labels if they are given.
func weightedTable(_ count: Int, labels: [[String: String]] = []) -> CandidateTable {
    CandidateTable(
        (0..<count).map { .init(name: "e\($0)", labels: $0 < labels.count ? labels[$0] : [:]) })
}

func weightedRequest(_ id: UInt64 = 1, promptTokens: Int = 0, headers: [String: String] = [:]) -> RoutingRequest {
    RoutingRequest(id: id, promptTokens: promptTokens, expectedOutputTokens: 100, headers: headers)
}

/// The clamped scores that one scorer gives to all candidates, by endpoint.
func weightedScores(
    _ rule: WeightedScorerRule, _ table: CandidateTable, _ request: RoutingRequest = weightedRequest(),
    headroom: WeightedHeadroom = WeightedHeadroom()
) -> [Int: Double] {
    var pipeline = WeightedPipeline(
        WeightedPolicy(scorers: [.init("s", rule)], headroom: headroom), identities: table.identities, seed: 1)
    let receipt = pipeline.pick(for: request, among: table, now: .zero, wantsReceipt: true).receipt
    return Dictionary(
        uniqueKeysWithValues: (receipt?.candidates ?? []).map { ($0.endpoint.index, $0.scores.first ?? -1) })
}

/// The scores of endpoints 0, 1, … in a row.
func weightedRow(
    _ rule: WeightedScorerRule, _ table: CandidateTable, _ request: RoutingRequest = weightedRequest(),
    headroom: WeightedHeadroom = WeightedHeadroom()
) -> [Double] {
    let scores = weightedScores(rule, table, request, headroom: headroom)
    return (0..<table.count).map { scores[$0] ?? .nan }
}

/// The endpoints that one filter keeps, and how the decision ended.
func weightedKept(
    _ rule: WeightedFilterRule, _ table: CandidateTable, _ request: RoutingRequest = weightedRequest(),
    headroom: WeightedHeadroom = WeightedHeadroom()
) -> (kept: [Int], outcome: WeightedDecision.Outcome) {
    var pipeline = WeightedPipeline(
        WeightedPolicy(filters: [.init("f", rule)], headroom: headroom), identities: table.identities, seed: 1)
    let decision = pipeline.pick(for: request, among: table, now: .zero, wantsReceipt: true)
    return (decision.receipt?.candidates.map(\.endpoint.index) ?? [], decision.outcome)
}

func isClose(_ left: [Double], _ right: [Double]) -> Bool {
    left.count == right.count && zip(left, right).allSatisfy { abs($0 - $1) < 1e-6 }
}
