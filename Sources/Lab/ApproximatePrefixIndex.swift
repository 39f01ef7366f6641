/// llm-d's approximate index of which replica has which blocks, as `approx-prefix-cache-producer` keeps it
/// (`scheduling.md` 2.1), with the defects that change picks.
///
/// It counts the blocks that a replica holds, not those that are contiguous from the first; it looks a prompt up until a
/// block that nobody holds; it evicts the first block of a prompt before the last; and it takes the engine's number of
/// 16-token blocks for its own number of 64-token blocks, so it believes that a replica holds four times its cache.
struct ApproximatePrefixIndex {
    /// Tokens per block: upstream's default of 16 is raised to this.
    static let blockTokens = 64
    /// The most blocks of one prompt that are looked at.
    private static let matchLimit = 2048

    private var recent: [RecencyList]

    /// An empty index.
    /// - Parameter capacity: blocks per replica.
    init(replicas: Int, capacity: Int) {
        recent = Array(repeating: RecencyList(capacity: max(capacity, 1)), count: replicas)
    }

    /// Blocks of a prompt, a last one that is not full included.
    static func blockCount(promptTokens: Int) -> Int {
        min((promptTokens + blockTokens - 1) / blockTokens, matchLimit)
    }

    /// How many of `blocks` each replica is believed to hold.
    func matches(_ blocks: [UInt64]) -> [Int] {
        var counts = Array(repeating: 0, count: recent.count)
        for block in blocks.prefix(Self.matchLimit) {
            var isHeld = false
            for replica in recent.indices where recent[replica].contains(block) {
                counts[replica] += 1
                isHeld = true
            }
            guard isHeld else { break }
        }
        return counts
    }

    /// Believes from now on that `replica` holds `blocks`.
    mutating func insert(_ blocks: [UInt64], at replica: Int) {
        for block in blocks.prefix(Self.matchLimit) { recent[replica].touch(block) }
    }
}

/// A bounded set that forgets the member touched longest ago.
struct RecencyList {
    private struct Node {
        var key: UInt64
        var older: Int32
        var newer: Int32
    }

    private let capacity: Int
    private var nodes: [Node] = []
    private var nodeOfKey: [UInt64: Int32] = [:]
    private var oldest: Int32 = -1
    private var newest: Int32 = -1

    init(capacity: Int) { self.capacity = capacity }

    var count: Int { nodeOfKey.count }

    func contains(_ key: UInt64) -> Bool { nodeOfKey[key] != nil }

    /// Makes `key` the newest member; at capacity the oldest makes room.
    mutating func touch(_ key: UInt64) {
        let node: Int32
        if let known = nodeOfKey[key] {
            guard known != newest else { return }
            unlink(known)
            node = known
        } else if nodes.count < capacity {
            node = Int32(nodes.count)
            nodes.append(Node(key: key, older: -1, newer: -1))
            nodeOfKey[key] = node
        } else {
            node = oldest
            unlink(node)
            nodeOfKey[nodes[Int(node)].key] = nil
            nodes[Int(node)].key = key
            nodeOfKey[key] = node
        }
        nodes[Int(node)].older = newest
        nodes[Int(node)].newer = -1
        if newest >= 0 { nodes[Int(newest)].newer = node } else { oldest = node }
        newest = node
    }

    private mutating func unlink(_ node: Int32) {
        let (older, newer) = (nodes[Int(node)].older, nodes[Int(node)].newer)
        if older >= 0 { nodes[Int(older)].newer = newer } else { oldest = newer }
        if newer >= 0 { nodes[Int(newer)].older = older } else { newest = older }
    }
}
