/// Which endpoints hold each block: a hash table with open addressing, the set of endpoints inline, 40 bytes per slot.
///
/// Keys are hashes already; they are only multiplied once more (Fibonacci hashing), with a seed so that a client cannot
/// aim at one region of the table. Collisions go to the next slot; removal moves the followers back, so that there are
/// no tombstones.
struct HolderTable: Sendable {
    private struct Slot: Sendable {
        var key: UInt64 = 0
        /// Empty in an unused slot.
        var holders = EndpointSet()
    }

    /// The table is doubled when more than three quarters are used.
    private static let slotsAtFirst = 1024
    /// `match` looks this many blocks ahead; where no endpoint has dropped out there, none has in between.
    private static let stride = 32

    private var slots: [Slot]
    private var shift: UInt64
    private let seed: UInt64
    /// Blocks in the table.
    private(set) var count = 0

    /// Bytes of memory.
    var memoryBytes: Int { slots.capacity * MemoryLayout<Slot>.stride }

    init(seed: UInt64) {
        self.seed = seed
        slots = [Slot](repeating: Slot(), count: Self.slotsAtFirst)
        shift = UInt64(64 - Self.slotsAtFirst.trailingZeroBitCount)
    }

    /// Whether anybody holds a block.
    func contains(_ key: UInt64) -> Bool { !slots[slot(of: key)].holders.isEmpty }

    /// Adds a holder of a block; false if it was one.
    @discardableResult
    mutating func insert(_ key: UInt64, endpoint: Int) -> Bool {
        var index = slot(of: key)
        if slots[index].holders.isEmpty {
            if (count + 1) * 4 > slots.count * 3 {
                grow()
                index = slot(of: key)
            }
            slots[index].key = key
            count += 1
        }
        return slots[index].holders.insert(endpoint)
    }

    /// Removes a holder of a block; false if it was none.
    @discardableResult
    mutating func remove(_ key: UInt64, endpoint: Int) -> Bool {
        let index = slot(of: key)
        guard slots[index].holders.remove(endpoint) else { return false }
        if slots[index].holders.isEmpty { vacate(index) }
        return true
    }

    /// For every endpoint, how many blocks it holds from the first on without a gap.
    ///
    /// - Parameter isMonotone: whether whoever holds a block of a chain holds all before it, so that not every block need
    ///   be looked up.
    /// - Parameter record: called once for each endpoint that holds at least one, with the number.
    /// - Returns: the largest number.
    func match(_ hashes: [UInt64], isMonotone: Bool, record: (Int, Int) -> Void) -> Int {
        slots.withUnsafeBufferPointer { table in
            hashes.withUnsafeBufferPointer { hashes in
                guard let first = hashes.first else { return 0 }
                var live = holders(of: first, in: table)
                // All in `live` hold the blocks up to and including this one.
                var held = 0
                while held + 1 < hashes.count, !live.isEmpty {
                    let next = min(held + Self.stride, hashes.count - 1)
                    if isMonotone {
                        let atNext = live.intersection(holders(of: hashes[next], in: table))
                        if atNext == live {
                            held = next
                            continue
                        }
                    }
                    let common = commonHolders(of: UnsafeBufferPointer(rebasing: hashes[(held + 1)...next]), in: table)
                    if let common, live.intersection(common) == live {
                        held = next
                        continue
                    }
                    for index in (held + 1)...next {
                        let rest = live.intersection(holders(of: hashes[index], in: table))
                        if rest == live { continue }
                        live.subtracting(rest).forEach { record($0, index) }
                        live = rest
                        if live.isEmpty { return index }
                    }
                    held = next
                }
                if live.isEmpty { return 0 }
                live.forEach { record($0, held + 1) }
                return held + 1
            }
        }
    }

    @inline(__always)
    private func holders(of key: UInt64, in table: UnsafeBufferPointer<Slot>) -> EndpointSet {
        var index = home(of: key)
        while true {
            let slot = table[index]
            if slot.key == key || slot.holders.isEmpty { return slot.holders }
            index = (index &+ 1) & (table.count &- 1)
        }
    }

    /// Who holds all of some blocks, found without a branch per block, so that the processor fetches all their slots at
    /// once; nil if some block is not in its first slot. What follows finds the slots in the cache.
    @inline(__always)
    private func commonHolders(
        of hashes: UnsafeBufferPointer<UInt64>, in table: UnsafeBufferPointer<Slot>
    ) -> EndpointSet? {
        var common = EndpointSet.all
        var difference: UInt64 = 0
        for key in hashes {
            let index = home(of: key)
            common = common.intersection(table[index].holders)
            difference |= table[index].key ^ key
        }
        return difference == 0 ? common : nil
    }

    @inline(__always)
    private func home(of key: UInt64) -> Int {
        Int(truncatingIfNeeded: ((key ^ seed) &* 0x9E37_79B9_7F4A_7C15) &>> shift)
    }

    /// Where a key is, or where it would be put.
    @inline(__always)
    private func slot(of key: UInt64) -> Int {
        var index = home(of: key)
        while !slots[index].holders.isEmpty, slots[index].key != key { index = (index &+ 1) & (slots.count &- 1) }
        return index
    }

    /// Empties a slot and moves those behind it that would not be found any more.
    private mutating func vacate(_ index: Int) {
        let mask = slots.count - 1
        var hole = index
        var next = (hole + 1) & mask
        while !slots[next].holders.isEmpty {
            // It may move unless its home lies behind the hole.
            if (next &- home(of: slots[next].key)) & mask >= (next &- hole) & mask {
                slots[hole] = slots[next]
                hole = next
            }
            next = (next + 1) & mask
        }
        slots[hole] = Slot()
        count -= 1
    }

    private mutating func grow() {
        let old = slots
        slots = [Slot](repeating: Slot(), count: old.count * 2)
        shift -= 1
        for slot in old where !slot.holders.isEmpty { slots[self.slot(of: slot.key)] = slot }
    }
}
