import Basics
import Testing

@testable import Lab

@Suite("llm-d's approximate prefix index")
struct ApproximatePrefixIndexTests {
    @Test("Blocks are counted that are not contiguous from the first")
    func overCredit() {
        var index = ApproximatePrefixIndex(replicas: 2, capacity: 100)
        index.insert([1, 2, 3, 4], at: 0)
        index.insert([3, 4], at: 1)
        #expect(index.matches([1, 2, 3, 4, 5]) == [4, 2])
    }

    @Test("The search ends at a block that nobody holds")
    func searchEnds() {
        var index = ApproximatePrefixIndex(replicas: 2, capacity: 100)
        index.insert([1, 3], at: 0)
        #expect(index.matches([1, 2, 3]) == [1, 0])
        #expect(index.matches([9, 1]) == [0, 0])
    }

    @Test("The first block of a prompt is forgotten before its last, and then all of it is a miss")
    func rootGoesFirst() {
        var index = ApproximatePrefixIndex(replicas: 1, capacity: 3)
        index.insert([1, 2, 3], at: 0)
        index.insert([4], at: 0)
        #expect(index.matches([1, 2, 3]) == [0])
        #expect(index.matches([2, 3]) == [2])
    }

    @Test(
        "A last block that is not full counts as one, up to 2,048",
        arguments: [(1, 1), (64, 1), (65, 2), (131_072, 2048), (500_000, 2048)])
    func blockCount(tokens: Int, blocks: Int) {
        #expect(ApproximatePrefixIndex.blockCount(promptTokens: tokens) == blocks)
    }

    @Test("A recency list holds what was touched last, as a plain list does", arguments: [1, 2, 7, 40])
    func recency(capacity: Int) {
        var generator = SeededGenerator(seed: UInt64(capacity))
        var list = RecencyList(capacity: capacity)
        var naive: [UInt64] = []
        for _ in 0..<2000 {
            let key = UInt64.random(in: 0..<50, using: &generator)
            list.touch(key)
            naive.removeAll { $0 == key }
            naive.append(key)
            if naive.count > capacity { naive.removeFirst() }
            #expect(list.count == naive.count)
            let probe = UInt64.random(in: 0..<50, using: &generator)
            #expect(list.contains(probe) == naive.contains(probe))
        }
    }
}
