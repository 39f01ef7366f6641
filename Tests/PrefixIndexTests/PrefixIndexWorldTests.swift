import Basics
import Testing

@testable import PrefixIndex

/// Compares the index with the naive one in random worlds.
@Suite struct PrefixIndexWorldTests {
    static let endpoints = 7

    @Test(arguments: 0..<12 as Range<UInt64>)
    func agreesWithTheNaiveIndex(seed: UInt64) {
        var world = PromptWorld(seed: seed)
        var index = PrefixIndex(seed: seed)
        var naive = NaiveIndex(endpoints: Self.endpoints)
        for step in 0..<150 {
            let endpoint = world.below(Self.endpoints)
            let prompt = world.prompt()
            switch world.below(20) {
            case 0:
                index.clear(endpoint: endpoint)
                naive.clear(endpoint)
            case 1:
                let capacity = world.below(4) == 0 ? nil : world.below(4000)
                index.setCapacity(capacity, endpoint: endpoint)
                // Told the same again, neither starts anew.
                index.setCapacity(capacity, endpoint: endpoint)
                naive.setCapacity(capacity, endpoint: endpoint)
            case 2:
                let isPrecise = world.below(2) == 0
                index.setPrecise(endpoint: endpoint, isPrecise)
                naive.setPrecise(endpoint, isPrecise)
            case 3:
                index.clearPrecise(endpoint: endpoint)
                naive.clearPrecise(endpoint)
            case 4...7:
                for key in prompt where world.below(10) > 0 {
                    index.store(key, endpoint: endpoint)
                    naive.store(key, endpoint)
                }
            case 8, 9:
                for key in prompt where world.below(4) == 0 {
                    index.remove(key, endpoint: endpoint)
                    naive.remove(key, endpoint)
                }
            default:
                let weight = [64, 51.5, 16, 70.25][world.below(4)]
                index.insert(prompt, endpoint: endpoint, tokensPerBlock: weight)
                naive.insert(prompt, endpoint: endpoint, tokensPerBlock: weight)
            }
            let asked = world.prompt()
            let tokens = world.below(2) == 0 ? [] : world.prompt()
            let expected = naive.match(text: asked, tokens: tokens)
            var blocks = [Int32](repeating: -1, count: Self.endpoints)
            let longest = index.match(text: asked, tokens: tokens, into: &blocks)
            #expect(blocks == expected, "step \(step)")
            if tokens.isEmpty { #expect(longest == Int(expected.max() ?? 0)) }
            #expect(index.heldTokens(endpoint: endpoint) == Int(naive.heldTokens(endpoint)))
        }
    }

    @Test(arguments: 0..<4 as Range<UInt64>)
    func longPromptsAreMatchedExactly(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        var index = PrefixIndex()
        let prompt = (0..<1000).map { _ in generator.next() }
        var lengths = [Int32](repeating: 0, count: 200)
        for endpoint in lengths.indices {
            // Many endpoints end in the same place, and about some strides.
            let length =
                [0, 1, 2, 31, 32, 33, 34, 500, 999, 1000, Int.random(in: 0...1000, using: &generator)]
                .randomElement(using: &generator) ?? 0
            lengths[endpoint] = Int32(length)
            index.insert(Array(prompt.prefix(length)), endpoint: endpoint, tokensPerBlock: 64)
            index.setPrecise(endpoint: endpoint, true)
            for key in prompt.prefix(length) { index.store(key, endpoint: endpoint) }
        }
        var blocks = [Int32](repeating: -1, count: 200)
        #expect(index.match(prompt, into: &blocks) == Int(lengths.max() ?? 0))
        #expect(blocks == lengths)
        #expect(index.match(text: [], tokens: prompt, into: &blocks) == Int(lengths.max() ?? 0))
        #expect(blocks == lengths)
    }

    @Test(arguments: 0..<6 as Range<UInt64>)
    func evictionTakesTheOldestEnds(seed: UInt64) {
        var world = PromptWorld(seed: seed)
        var list = RecencyList()
        var naive = NaiveIndex(endpoints: 1)
        for _ in 0..<200 {
            let prompt = world.prompt()
            for key in prompt.reversed() { _ = list.touch(key, weight: 64) }
            naive.insert(prompt, endpoint: 0, tokensPerBlock: 1)
        }
        let expected = naive.keys(0)
        #expect(list.count == expected.count)
        #expect(expected.allSatisfy { list.contains($0) })
        let removed = expected.map { _ in list.removeOldest() }
        #expect(removed == expected)
        let last = list.removeOldest()
        #expect(last == nil)
        #expect(list.tokens == 0)
    }

    @Test(arguments: [1, 3, 64, 500])
    func memoryIsBoundedAndPrefixesStayWhole(maximum: Int) {
        var world = PromptWorld(seed: UInt64(maximum))
        var index = PrefixIndex(maximumEntries: maximum)
        var routed: [[UInt64]] = []
        for _ in 0..<250 {
            let prompt = world.prompt(longest: 80)
            let endpoint = world.below(12)
            index.insert(prompt, endpoint: endpoint, tokensPerBlock: 64)
            routed.append(prompt)
            #expect(index.statistics.textEntries <= maximum)
            var blocks = [Int32](repeating: 0, count: 12)
            index.match(prompt, into: &blocks)
            #expect(Int(blocks[endpoint]) == min(prompt.count, maximum))
        }
        let held = (0..<12).reduce(0) { $0 + index.heldTokens(endpoint: $1) }
        #expect(held <= 64 * 4 * maximum)
        #expect(index.statistics.evictedBlocks > 0)
        // Whatever is held is held from its first block on: both ways of matching see the same.
        for prompt in routed.suffix(50) {
            var strided = [Int32](repeating: 0, count: 12)
            index.match(prompt, into: &strided)
            for length in strided where length > 0 {
                var shorter = [Int32](repeating: 0, count: 12)
                index.match(Array(prompt.prefix(Int(length))), into: &shorter)
                #expect(zip(shorter, strided).allSatisfy { $0 == min($1, length) })
            }
        }
        for endpoint in 0..<12 { index.clear(endpoint: endpoint) }
        #expect(index.statistics.textEntries == 0)
        #expect((0..<12).allSatisfy { index.heldTokens(endpoint: $0) == 0 })
    }
}
