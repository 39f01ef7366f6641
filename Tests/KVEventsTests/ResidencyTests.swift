import Basics
import InferenceAPI
import KVEvents
import Testing

@Suite struct ResidencyTests {
    private func apply(_ events: [KVEvent], to residency: inout KVResidency) -> [ResidencyChange] {
        var changes: [ResidencyChange] = []
        residency.apply(KVEventBatch(timestampSeconds: 0, events: events), into: &changes)
        return changes
    }

    private func stored(
        _ hashes: [UInt64], parent: UInt64? = nil, _ tokens: [UInt32], size: Int = 2, adapter: String? = nil,
        tier: CacheTier = .gpu, group: Int? = nil
    ) -> KVEvent {
        .stored(
            StoredBlocks(
                hashes: hashes, parent: parent, tokens: tokens, blockSize: size, adapter: adapter, tier: tier,
                group: group
            ))
    }

    private func keys(_ tokens: [UInt32], model: String = "m", size: Int = 2) -> [UInt64] {
        PromptBlocks(tokens: tokens, tokensPerBlock: size, model: model).hashes
    }

    @Test func chainsGoOnAcrossEventsAndAdapters() {
        var residency = KVResidency(model: "m")
        let key = keys([1, 2, 3, 4, 5, 6])
        #expect(
            apply([stored([10, 11], [1, 2, 3, 4])], to: &residency) == [.store(key[0], .gpu), .store(key[1], .gpu)])
        #expect(apply([stored([12], parent: 11, [5, 6])], to: &residency) == [.store(key[2], .gpu)])
        let other = keys([1, 2], model: "sql")
        #expect(apply([stored([20], [1, 2], adapter: "sql")], to: &residency) == [.store(other[0], .gpu)])
        #expect(residency.residentBlocks == 4)
        #expect(residency.blockSize == 2 && residency.adapters == ["sql"])
        #expect(apply([.removed(RemovedBlocks(hashes: [11]))], to: &residency) == [.remove(key[1], .gpu)])
        #expect(apply([.cleared], to: &residency) == [.clear])
        #expect(residency.residentBlocks == 0)
    }

    @Test func copiesOfABlockAreCounted() {
        var residency = KVResidency(model: "m")
        let key = keys([1, 2])[0]
        #expect(apply([stored([10], [1, 2]), stored([10], [1, 2])], to: &residency) == [.store(key, .gpu)])
        #expect(apply([.removed(RemovedBlocks(hashes: [10]))], to: &residency).isEmpty)
        #expect(residency.isOnGPU(key))
        // Two names of the engine for what is one key to us.
        #expect(apply([stored([11], [1, 2])], to: &residency).isEmpty)
        #expect(apply([.removed(RemovedBlocks(hashes: [10]))], to: &residency).isEmpty)
        #expect(apply([.removed(RemovedBlocks(hashes: [11]))], to: &residency) == [.remove(key, .gpu)])
        #expect(apply([.removed(RemovedBlocks(hashes: [11]))], to: &residency).isEmpty)
        #expect(residency.counters.unresolvedBlocks == 1)
    }

    @Test func tiersAreKeptApart() {
        var residency = KVResidency(model: "m")
        let key = keys([1, 2, 3, 4])
        _ = apply([stored([10], [1, 2])], to: &residency)
        // To the host's memory without tokens, twice; then out of the accelerator's.
        #expect(
            apply([stored([10], [], size: 0, tier: .cpu), stored([10], [], size: 0, tier: .cpu)], to: &residency)
                == [.store(key[0], .cpu)])
        #expect(apply([.removed(RemovedBlocks(hashes: [10]))], to: &residency) == [.remove(key[0], .gpu)])
        #expect(apply([stored([11], parent: 10, [3, 4])], to: &residency) == [.store(key[1], .gpu)])
        #expect(apply([.removed(RemovedBlocks(hashes: [10], tier: .cpu))], to: &residency) == [.remove(key[0], .cpu)])
        #expect(residency.residentBlocks == 1)
        #expect(apply([stored([99], [], tier: .cpu)], to: &residency).isEmpty)
        #expect(residency.counters.unresolvedBlocks == 1)
    }

    @Test func orphansCountOnceTheirParentIsKnown() {
        var residency = KVResidency(model: "m")
        let key = keys([1, 2, 3, 4, 5, 6, 7, 8])
        #expect(apply([stored([12], parent: 11, [5, 6]), stored([13], parent: 12, [7, 8])], to: &residency).isEmpty)
        #expect(apply([stored([11], parent: 10, [3, 4])], to: &residency).isEmpty)
        #expect(residency.counters.orphanedBlocks == 3)
        // Its removal counts too.
        #expect(apply([.removed(RemovedBlocks(hashes: [13]))], to: &residency).isEmpty)
        #expect(residency.waitingOrphans == 2)
        #expect(apply([stored([10], [1, 2])], to: &residency) == key.prefix(3).map { .store($0, .gpu) })
        #expect(residency.waitingOrphans == 0)
        #expect(residency.counters.adoptedBlocks == 2)
    }

    @Test func memoryIsBounded() {
        var limits = KVResidency.Limits()
        limits.maximumBlocks = 3
        limits.maximumOrphans = 4
        var residency = KVResidency(model: "m", limits: limits)
        _ = apply([stored([1, 2, 3, 4, 5], [UInt32](0..<10))], to: &residency)
        #expect(residency.residentBlocks == 3)
        #expect(residency.counters.droppedBlocks == 1)
        for hash in 100..<200 { _ = apply([stored([UInt64(hash)], parent: 99, [1, 2])], to: &residency) }
        #expect(residency.waitingOrphans <= 4)
        #expect(residency.residentBlocks == 3)
        // Room again after a removal.
        #expect(
            apply([.removed(RemovedBlocks(hashes: [3])), stored([3], parent: 2, [4, 5])], to: &residency).count == 2)
    }

    @Test func deepChainsOfOrphansNeedNoStack() {
        var residency = KVResidency(model: "m")
        let count: UInt64 = 16_000
        let events = (1...count).map { stored([$0], parent: $0 - 1, [UInt32($0), 0]) }
        #expect(apply(events, to: &residency).isEmpty)
        #expect(apply([stored([0], [0, 0])], to: &residency).count == Int(count) + 1)
    }

    @Test func aLargerBlockSizeStartsAnewAndASmallerOneIsPartOfABlock() {
        var residency = KVResidency(model: "m")
        _ = apply([stored([1], [1], size: 1)], to: &residency)
        let key = keys([1, 2])[0]
        #expect(apply([stored([2], [1, 2])], to: &residency) == [.clear, .store(key, .gpu)])
        #expect(apply([stored([3], parent: 2, [3], size: 1)], to: &residency).isEmpty)
        #expect(residency.counters.partialBlocks == 1)
        #expect(residency.counters.clears == 1)
    }

    @Test func ofSeveralGroupsOneCounts() {
        var residency = KVResidency(model: "m")
        let key = keys([1, 2])[0]
        #expect(apply([stored([1], [1, 2], group: 0)], to: &residency) == [.store(key, .gpu)])
        #expect(apply([stored([1], [1, 2], group: 1), .foreignGroup(2)], to: &residency).isEmpty)
        #expect(apply([.removed(RemovedBlocks(hashes: [1], group: 2))], to: &residency).isEmpty)
        #expect(apply([.removed(RemovedBlocks(hashes: [1], group: 0))], to: &residency) == [.remove(key, .gpu)])
        #expect(residency.counters.ignoredEvents == 3)
    }

    @Test(arguments: 1...20 as ClosedRange<UInt64>)
    func aRandomCacheIsFollowedExactly(_ seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var residency = KVResidency(model: "m")
        let index = IndexCopy()
        // The engine: chains over a small alphabet, several copies of a block, evicted at random.
        var copies: [[UInt32]: Int] = [:]
        func name(_ prefix: [UInt32]) -> UInt64 {
            prefix.reduce(14_695_981_039_346_656_037) { ($0 ^ UInt64($1)) &* 1_099_511_628_211 }
        }
        for _ in 0..<300 {
            var events: [KVEvent] = []
            if Bool.random(using: &random) || copies.isEmpty {
                let depth = Int.random(in: 1...5, using: &random)
                let tokens = (0..<depth).flatMap { _ in [UInt32.random(in: 0...2, using: &random), 7] }
                let hashes = (1...depth).map { name(Array(tokens.prefix(2 * $0))) }
                events.append(stored(hashes, tokens))
                for block in 1...depth { copies[Array(tokens.prefix(2 * block)), default: 0] += 1 }
            } else if let victim = copies.keys.sorted(by: { $0.lexicographicallyPrecedes($1) }).randomElement(
                using: &random)
            {
                events.append(.removed(RemovedBlocks(hashes: [name(victim)])))
                copies[victim] = copies[victim, default: 0] > 1 ? copies[victim, default: 0] - 1 : nil
            }
            index.apply(apply(events, to: &residency))
            #expect(index.content.gpu == Set(copies.keys.compactMap { keys($0).last }))
        }
        #expect(index.content.redundant == 0)
        #expect(residency.residentBlocks == copies.count)
    }
}
