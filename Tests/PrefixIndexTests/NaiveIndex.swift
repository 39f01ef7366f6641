import Basics

@testable import PrefixIndex

/// The index as one would write it without regard to time and memory: a list of blocks per endpoint, newest first.
struct NaiveIndex {
    private struct Block {
        var key: UInt64
        var tokens: Double
    }

    private var lists: [[Block]]
    private var capacities: [Double?]
    private var precise: [Set<UInt64>?]

    init(endpoints: Int) {
        lists = Array(repeating: [], count: endpoints)
        capacities = Array(repeating: nil, count: endpoints)
        precise = Array(repeating: nil, count: endpoints)
    }

    func match(text: [UInt64], tokens: [UInt64]) -> [Int32] {
        lists.indices.map { endpoint in
            if let stored = precise[endpoint], !tokens.isEmpty {
                return Int32(tokens.prefix { stored.contains($0) }.count)
            }
            let held = Set(lists[endpoint].map(\.key))
            return Int32(text.prefix { held.contains($0) }.count)
        }
    }

    func heldTokens(_ endpoint: Int) -> Double { lists[endpoint].reduce(0) { $0 + $1.tokens } }

    /// From the oldest on.
    func keys(_ endpoint: Int) -> [UInt64] { lists[endpoint].reversed().map(\.key) }

    mutating func insert(_ hashes: [UInt64], endpoint: Int, tokensPerBlock: Double) {
        let fitting = capacities[endpoint].map { Int($0 / tokensPerBlock) } ?? hashes.count
        for key in hashes.prefix(fitting).reversed() {
            lists[endpoint].removeAll { $0.key == key }
            lists[endpoint].insert(Block(key: key, tokens: tokensPerBlock), at: 0)
        }
        evict(endpoint)
    }

    mutating func setCapacity(_ tokens: Int?, endpoint: Int) {
        capacities[endpoint] = tokens.map(Double.init)
        evict(endpoint)
    }

    mutating func clear(_ endpoint: Int) {
        lists[endpoint] = []
        clearPrecise(endpoint)
    }

    mutating func setPrecise(_ endpoint: Int, _ isPrecise: Bool) {
        if isPrecise != (precise[endpoint] != nil) { precise[endpoint] = isPrecise ? [] : nil }
    }

    mutating func store(_ key: UInt64, _ endpoint: Int) { precise[endpoint]?.insert(key) }

    mutating func remove(_ key: UInt64, _ endpoint: Int) { precise[endpoint]?.remove(key) }

    mutating func clearPrecise(_ endpoint: Int) { if precise[endpoint] != nil { precise[endpoint] = [] } }

    private mutating func evict(_ endpoint: Int) {
        guard let capacity = capacities[endpoint] else { return }
        while heldTokens(endpoint) > capacity { lists[endpoint].removeLast() }
    }
}

/// Prompts that share beginnings, as conversations do: each is a path in a random tree.
struct PromptWorld {
    var generator: SeededGenerator
    private var prompts: [[UInt64]] = [[]]

    init(seed: UInt64) { generator = SeededGenerator(seed: seed) }

    mutating func below(_ limit: Int) -> Int { Int.random(in: 0..<limit, using: &generator) }

    /// An earlier prompt, cut somewhere and continued by new blocks.
    mutating func prompt(longest: Int = 40) -> [UInt64] {
        let parent = prompts[below(prompts.count)]
        var prompt = Array(parent.prefix(below(parent.count + 1)))
        for _ in 0..<below(longest - min(prompt.count, longest - 1)) { prompt.append(generator.next()) }
        if prompts.count < 60 { prompts.append(prompt) } else { prompts[below(60)] = prompt }
        return prompt
    }
}
