import Basics
import Pool
import Testing

@testable import Routing

@Suite struct WeightedPickerTests {
    /// A policy whose totals are the attribute's values, and a table with them.
    private func world(_ totals: [Double], _ picker: WeightedPicker) -> (WeightedPipeline, CandidateTable) {
        var table = weightedTable(totals.count)
        table.attributeNames = ["score"]
        table.attributes = [totals]
        let scale = WeightedAttributeScale(attribute: "score", lowerIsBetter: false, range: 0...1)
        let policy = WeightedPolicy(scorers: [.init("score", .endpointAttribute(scale))], picker: picker)
        return (WeightedPipeline(policy, identities: table.identities, seed: 11), table)
    }

    /// How often each endpoint comes first in so many draws.
    private func counts(_ totals: [Double], _ picker: WeightedPicker, draws: Int = 30_000) -> [Int] {
        var (pipeline, table) = world(totals, picker)
        var counts = Array(repeating: 0, count: totals.count)
        for id in 0..<draws {
            let decision = pipeline.pick(for: weightedRequest(UInt64(id)), among: table, now: .zero)
            if let endpoint = decision.endpoint { counts[endpoint.index] += 1 }
        }
        return counts
    }

    /// Whether the counts are those of the shares, within five standard deviations.
    private func fits(_ counts: [Int], _ shares: [Double]) -> Bool {
        let draws = Double(counts.reduce(0, +))
        return zip(counts, shares).allSatisfy { count, share in
            abs(Double(count) - draws * share) <= 5 * (draws * share * (1 - share)).squareRoot()
        }
    }

    @Test func theHighestScoreWinsAndTiesAreDrawnEvenly() {
        #expect(counts([0.2, 0.9, 0.5], WeightedPicker(.maxScore), draws: 100) == [0, 100, 0])
        #expect(fits(counts([0.9, 0.2, 0.9, 0.9], WeightedPicker(.maxScore)), [1.0 / 3, 0, 1.0 / 3, 1.0 / 3]))
        #expect(fits(counts([0, 0, 0, 0, 0], WeightedPicker(.maxScore)), Array(repeating: 0.2, count: 5)))
        #expect(
            fits(
                counts([0.9, 0.2, 0.9, 0.9], WeightedPicker(.maxScore, maxEndpoints: 2)),
                [1.0 / 3, 0, 1.0 / 3, 1.0 / 3]))
    }

    @Test func theRandomPickerIgnoresScores() {
        #expect(fits(counts([0.9, 0, 0.1, 1], WeightedPicker(.random)), [0.25, 0.25, 0.25, 0.25]))
        #expect(fits(counts([0.9, 0, 0.1, 1], WeightedPicker(.random, maxEndpoints: 3)), [0.25, 0.25, 0.25, 0.25]))
    }

    @Test func theWeightedPickerDrawsInProportionToTheScore() {
        #expect(fits(counts([0.5, 0.25, 0.25, 0], WeightedPicker(.weightedRandom)), [0.5, 0.25, 0.25, 0]))
        #expect(fits(counts([1, 0.6, 0.4], WeightedPicker(.weightedRandom)), [0.5, 0.3, 0.2]))
        #expect(
            fits(counts([1, 0.6, 0.4], WeightedPicker(.weightedRandom, maxEndpoints: 2)), [0.5, 0.3, 0.2]))
        #expect(fits(counts([0, 0, 0, 0], WeightedPicker(.weightedRandom)), [0.25, 0.25, 0.25, 0.25]))
    }

    @Test func severalEndpointsAreNamedInTheOrderOfTheirScores() {
        var (pipeline, table) = world([0.2, 0.9, 0.5, 0.7], WeightedPicker(.maxScore, maxEndpoints: 3))
        let decision = pipeline.pick(for: weightedRequest(), among: table, now: .zero)
        #expect(decision.endpoint == EndpointID(1))
        #expect(decision.fallbacks == [EndpointID(3), EndpointID(2)])
    }

    @Test(arguments: [WeightedPicker.Method.maxScore, .random, .weightedRandom])
    func noMoreEndpointsAreNamedThanThereAreAndNoneTwice(_ method: WeightedPicker.Method) {
        var (pipeline, table) = world([0.2, 0, 0.9], WeightedPicker(method, maxEndpoints: 9))
        for id in 0..<50 {
            let decision = pipeline.pick(for: weightedRequest(UInt64(id)), among: table, now: .zero)
            let named = [decision.endpoint].compactMap { $0 } + decision.fallbacks
            #expect(Set(named).count == 3)
            #expect(named.count == 3)
            if method == .weightedRandom { #expect(named.last == EndpointID(1)) }
        }
    }

    @Test func theDrawDependsOnTheSeedAndTheRequestAlone() {
        var (first, table) = world([1, 1, 1, 1, 1, 1, 1, 1], WeightedPicker(.maxScore))
        var (second, _) = world([1, 1, 1, 1, 1, 1, 1, 1], WeightedPicker(.maxScore))
        let forward = (0..<40).map { first.pick(for: weightedRequest($0), among: table, now: .zero).endpoint }
        let backward = (0..<40).reversed().map {
            second.pick(for: weightedRequest($0), among: table, now: .zero).endpoint
        }
        #expect(forward == backward.reversed())
        #expect(Set(forward).count > 4)
    }
}
