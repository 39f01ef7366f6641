/// The KV cache: a number of equal blocks, some of them findable by the hash of what they hold.
///
/// A block without a hash is only counted. A block with one can be held by several requests; when the last lets go of
/// it, it stays findable until its room is needed, oldest first.
struct BlockPool: Sendable {
    private struct SharedBlock: Sendable {
        var hash: UInt64
        var holders: Int
        /// Neighbours in the list of unheld blocks, -1 at its ends.
        var older: Int32
        var newer: Int32
    }

    let capacity: Int
    private var anonymousBlocks = 0
    private var heldSharedBlocks = 0
    private var idleSharedBlocks = 0
    private var shared: [SharedBlock] = []
    private var vacancies: [Int32] = []
    private var blockOfHash: [UInt64: Int32] = [:]
    private var oldestIdle: Int32 = -1
    private var newestIdle: Int32 = -1

    init(capacity: Int) { self.capacity = capacity }

    /// Blocks that requests hold.
    var used: Int { anonymousBlocks + heldSharedBlocks }

    /// Blocks that can be had, unheld shared ones included.
    var available: Int { capacity - used }

    /// Takes blocks without a hash; false, and none taken, if there are too few.
    mutating func take(_ count: Int) -> Bool {
        guard count <= available else { return false }
        while capacity - used - idleSharedBlocks < count { evictOldest() }
        anonymousBlocks += count
        return true
    }

    /// Gives blocks without a hash back.
    mutating func giveBack(_ count: Int) { anonymousBlocks -= count }

    /// How many blocks from the start of `hashes`, at most `limit`, can be reused, and how many of those nobody holds.
    func reusable(_ hashes: [UInt64], limit: Int) -> (count: Int, idle: Int) {
        var count = 0
        var idle = 0
        for hash in hashes.prefix(max(limit, 0)) {
            guard let block = blockOfHash[hash] else { break }
            count += 1
            if shared[Int(block)].holders == 0 { idle += 1 }
        }
        return (count, idle)
    }

    /// Takes hold of the first `count` blocks of `hashes`, which must be there, and appends them to `held`.
    mutating func hold(_ hashes: [UInt64], count: Int, into held: inout [Int32]) {
        for hash in hashes.prefix(count) {
            guard let block = blockOfHash[hash] else { preconditionFailure("block is not in the prefix cache") }
            if shared[Int(block)].holders == 0 {
                unlink(block)
                heldSharedBlocks += 1
            }
            shared[Int(block)].holders += 1
            held.append(block)
        }
    }

    /// Makes one held block without a hash findable by `hash`; nil if another block already is.
    mutating func publish(_ hash: UInt64) -> Int32? {
        guard blockOfHash[hash] == nil else { return nil }
        let entry = SharedBlock(hash: hash, holders: 1, older: -1, newer: -1)
        let block: Int32
        if let vacancy = vacancies.popLast() {
            block = vacancy
            shared[Int(block)] = entry
        } else {
            block = Int32(shared.count)
            shared.append(entry)
        }
        blockOfHash[hash] = block
        anonymousBlocks -= 1
        heldSharedBlocks += 1
        return block
    }

    /// Lets go of shared blocks, the end of the prompt first, so that its start is evicted last.
    mutating func letGo(_ held: [Int32]) {
        for block in held.reversed() {
            shared[Int(block)].holders -= 1
            if shared[Int(block)].holders == 0 {
                heldSharedBlocks -= 1
                linkNewest(block)
            }
        }
    }

    private mutating func evictOldest() {
        let block = oldestIdle
        precondition(block >= 0, "no unheld block to evict")
        unlink(block)
        blockOfHash[shared[Int(block)].hash] = nil
        vacancies.append(block)
    }

    private mutating func linkNewest(_ block: Int32) {
        shared[Int(block)].older = newestIdle
        shared[Int(block)].newer = -1
        if newestIdle >= 0 { shared[Int(newestIdle)].newer = block } else { oldestIdle = block }
        newestIdle = block
        idleSharedBlocks += 1
    }

    private mutating func unlink(_ block: Int32) {
        let (older, newer) = (shared[Int(block)].older, shared[Int(block)].newer)
        if older >= 0 { shared[Int(older)].newer = newer } else { oldestIdle = newer }
        if newer >= 0 { shared[Int(newer)].older = older } else { newestIdle = older }
        idleSharedBlocks -= 1
    }
}
