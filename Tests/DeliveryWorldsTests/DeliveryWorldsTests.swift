import DeliveryWorlds
import Testing

/// The life of messages in seeded worlds; `delivery-worlds` lives through thousands more.
@Suite struct DeliveryWorldsTests {
    @Test func everyInvariantHoldsInWorldsFullOfTrouble() async throws {
        var counts = WorldCounts()
        for seed in 1...30 as ClosedRange<UInt64> {
            let report = try DeliveryWorlds.run(seed: seed)
            #expect(report.violations == [], "delivery-worlds --seed \(seed) --trace")
            counts += report.counts
        }
        for figure in counts.figures { #expect(figure.value > 0, "\(figure.name) never happened") }
        #expect(
            counts.succeeded + counts.failed + counts.deadLetters + counts.expired + counts.cancelled
                == counts.messages)
    }

    @Test func equalSeedsMakeEqualWorlds() throws {
        for seed in [3, 56] as [UInt64] {
            let first = try DeliveryWorlds.run(seed: seed, traces: true)
            let second = try DeliveryWorlds.run(seed: seed, traces: true)
            #expect(first == second)
            #expect(!first.trace.isEmpty)
            #expect(try DeliveryWorlds.run(seed: seed + 1).digest != first.digest)
        }
    }

    /// An invariant that no mistake can break proves nothing.
    @Test(arguments: Mutation.allCases) func everyMistakeIsFound(mutation: Mutation) throws {
        let found = try (1...60 as ClosedRange<UInt64>).first { seed in
            try !DeliveryWorlds.run(seed: seed, mutation: mutation).violations.isEmpty
        }
        #expect(found != nil, "\(mutation) was not found")
    }
}
