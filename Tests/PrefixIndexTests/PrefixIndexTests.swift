import Testing

@testable import PrefixIndex

@Suite struct PrefixIndexTests {
    static func matched(_ index: PrefixIndex, _ hashes: [UInt64], endpoints: Int = 4) -> [Int32] {
        var blocks = [Int32](repeating: -1, count: endpoints)
        index.match(hashes, into: &blocks)
        return blocks
    }

    @Test func aHoleEndsAMatch() {
        var index = PrefixIndex()
        index.setPrecise(endpoint: 0, true)
        for key in [1, 2, 4, 5] as [UInt64] { index.store(key, endpoint: 0) }
        var blocks: [Int32] = [0]
        #expect(index.match(text: [], tokens: [1, 2, 3, 4, 5], into: &blocks) == 2)
        #expect(blocks == [2])
    }

    @Test func theEndOfAPromptGoesFirstAndItsBeginningLast() {
        var index = PrefixIndex()
        index.setCapacity(5 * 64, endpoint: 0)
        index.insert([1, 2, 3], endpoint: 0, tokensPerBlock: 64)
        index.insert([11, 12, 13], endpoint: 0, tokensPerBlock: 64)
        #expect(Self.matched(index, [1, 2, 3])[0] == 2)
        #expect(Self.matched(index, [11, 12, 13])[0] == 3)
        // Using the older prompt again makes the other one the next to go.
        index.insert([1, 2, 3], endpoint: 0, tokensPerBlock: 64)
        #expect(Self.matched(index, [1, 2, 3])[0] == 3)
        #expect(Self.matched(index, [11, 12, 13])[0] == 2)
        #expect(index.statistics.evictedBlocks == 2)
        #expect(index.statistics.hitBlocks == 2)
        #expect(index.statistics.routedBlocks == 9)
    }

    @Test func aPromptLongerThanTheCapacityLeavesNothingBehind() {
        var index = PrefixIndex()
        index.setCapacity(10 * 64, endpoint: 0)
        for prompt in 0..<50 as Range<UInt64> {
            index.insert((0..<100).map { prompt * 1000 + $0 }, endpoint: 0, tokensPerBlock: 64)
        }
        #expect(index.statistics.textEntries == 10)
        #expect(index.heldTokens(endpoint: 0) == 640)
        #expect(Self.matched(index, (0..<100).map { 49_000 + $0 })[0] == 10)
        #expect(Self.matched(index, (0..<100).map { 48_000 + $0 })[0] == 0)
    }

    @Test func sharedBlocksAreStoredOnce() {
        var index = PrefixIndex()
        let prompt = (1...100).map(UInt64.init)
        for endpoint in 0..<256 { index.insert(prompt, endpoint: endpoint, tokensPerBlock: 64) }
        #expect(index.statistics.textEntries == 100)
        #expect(Self.matched(index, prompt, endpoints: 256) == Array(repeating: 100, count: 256))
        index.clear(endpoint: 200)
        #expect(index.statistics.textEntries == 100)
        #expect(Self.matched(index, prompt, endpoints: 256)[199...201] == [100, 0, 100])
    }

    @Test func numbersOutOfRangeAreBorne() {
        var index = PrefixIndex(maximumEntries: -5)
        for endpoint in [-1, 256, Int.max, Int.min] {
            index.insert([1], endpoint: endpoint, tokensPerBlock: 64)
            index.setCapacity(5, endpoint: endpoint)
            index.setPrecise(endpoint: endpoint, true)
            index.observe(endpoint: endpoint, predictedTokens: 1, cachedTokens: 1, promptTokens: 1)
            index.clear(endpoint: endpoint)
            index.clearPrecise(endpoint: endpoint)
            index.remove(1, endpoint: endpoint)
            let isStored = index.store(1, endpoint: endpoint)
            #expect(!isStored)
            #expect(!index.isPrecise(endpoint: endpoint))
            #expect(index.calibratedTokens(9, endpoint: endpoint) == 9)
        }
        for weight in [Double.nan, .infinity, -1, 0, 1e300] { index.insert([1], endpoint: 0, tokensPerBlock: weight) }
        index.observe(endpoint: 0, predictedTokens: .min, cachedTokens: .max, promptTokens: .max)
        index.setCapacity(-3, endpoint: 0)
        #expect(index.heldTokens(endpoint: 0) == 0)
        var none: [Int32] = []
        index.insert([7], endpoint: 3, tokensPerBlock: 1)
        #expect(index.match([7], into: &none) == 1)
    }

    @Test func aPreciseFeedOverridesUntilItIsSwitchedOff() {
        var index = PrefixIndex()
        index.insert([1, 2, 3], endpoint: 0, tokensPerBlock: 64)
        index.insert([1, 2], endpoint: 1, tokensPerBlock: 64)
        index.setPrecise(endpoint: 0, true)
        var blocks: [Int32] = [9, 9]
        #expect(index.match(text: [1, 2, 3], tokens: [50, 51], into: &blocks) == 3)
        #expect(blocks == [0, 2])
        index.store(50, endpoint: 0)
        index.match(text: [1, 2, 3], tokens: [50, 51], into: &blocks)
        #expect(blocks == [1, 2])
        // A prompt that nobody has tokenized is matched by its text everywhere.
        index.match(text: [1, 2, 3], tokens: [], into: &blocks)
        #expect(blocks == [3, 2])
        index.setPrecise(endpoint: 0, false)
        #expect(index.statistics.tokenEntries == 0)
        index.match(text: [1, 2, 3], tokens: [50, 51], into: &blocks)
        #expect(blocks == [3, 2])
    }

    @Test func aFullPreciseFeedDropsAndNeverClaims() {
        var index = PrefixIndex(maximumEntries: 3)
        for endpoint in 0..<2 { index.setPrecise(endpoint: endpoint, true) }
        let first = (1...5).map { index.store($0, endpoint: 0) }
        #expect(first == [true, true, true, false, false])
        // Blocks that are there already take no new entry.
        let second = (1...4).map { index.store($0, endpoint: 1) }
        #expect(second == [true, true, true, false])
        #expect(index.statistics.droppedBlocks == 3)
        var blocks: [Int32] = [0, 0]
        index.match(text: [], tokens: [1, 2, 3, 4, 5], into: &blocks)
        #expect(blocks == [3, 3])
        index.remove(1, endpoint: 0)
        index.remove(1, endpoint: 0)
        index.remove(1, endpoint: 1)
        let storedAgain = index.store(9, endpoint: 1)
        #expect(storedAgain)
        #expect(index.statistics.tokenEntries == 3)
    }

    @Test func ageRunsFromJustUsedToNextToGo() {
        var index = PrefixIndex()
        let prompts = [[1, 2, 3, 4], [1, 2, 3, 4], [11, 12, 13, 14], [11, 12, 13, 14], [1, 2]] as [[UInt64]]
        let ages = prompts.map { index.insert($0, endpoint: 0, tokensPerBlock: 64) }
        // The second time, 4 is the oldest. The fourth time the clock stands at 12 blocks; the oldest block, 4, was touched
        // as the 5th, and 14 as the 9th. The fifth time it stands at 16, and 2 was touched as the 7th.
        #expect(ages == [1, 1, 1, 3.0 / 7, 9.0 / 11])
    }
}
