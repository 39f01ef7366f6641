/// The blocks that one endpoint holds, in order of their last use, and how many tokens they make.
///
/// A linked list through an array, and a hash table of its places by key; touching, adding and removing take constant
/// time.
struct RecencyList: Sendable {
    /// Weights are counted in 64ths of a token, so that a sum of many has no rounding error.
    static let unitsPerToken = 64.0

    private struct Node: Sendable {
        var key: UInt64
        var newer: Int32
        var older: Int32
        var weight: Int32
        /// What `clock` was when it was touched.
        var touched: UInt32
    }

    private static let none: Int32 = -1

    private var nodes: [Node] = []
    /// Places in `nodes`, `none` where there is none.
    private var slots: [Int32] = []
    private var newest = none
    private var oldest = none
    private var firstFree = none
    private var weightSum = 0
    /// Tokens touched so far, wrapping around.
    private var clock: UInt32 = 0
    /// Blocks held.
    private(set) var count = 0

    /// Tokens held.
    var tokens: Double { Double(weightSum) / Self.unitsPerToken }

    /// Bytes of memory.
    var memoryBytes: Int {
        nodes.capacity * MemoryLayout<Node>.stride + slots.capacity * MemoryLayout<Int32>.stride
    }

    /// The weight of a block of so many tokens: at least one unit, at most about 16 million tokens.
    static func weight(tokens: Double) -> Int32 {
        guard tokens > 0 else { return 1 }
        return Int32(min(max(tokens * unitsPerToken, 1), 0x4000_0000))
    }

    /// Whether a block is there.
    func contains(_ key: UInt64) -> Bool { !slots.isEmpty && slots[slot(of: key)] != Self.none }

    /// How near a block is to the end that is evicted first: 0 just touched, 1 the oldest; nil if it is not there.
    /// Measured in tokens touched since.
    func ageShare(of key: UInt64) -> Double? {
        guard !slots.isEmpty else { return nil }
        let place = slots[slot(of: key)]
        guard place != Self.none else { return nil }
        let range = clock &- nodes[Int(oldest)].touched
        return range == 0 ? 0 : min(1, Double(clock &- nodes[Int(place)].touched) / Double(range))
    }

    /// Makes a block the most recent one; true if it was there already, else it is added.
    mutating func touch(_ key: UInt64, weight: Int32) -> Bool {
        clock &+= UInt32(truncatingIfNeeded: max(1, weight &>> 6))
        if slots.isEmpty { slots = [Int32](repeating: Self.none, count: 64) }
        var slot = slot(of: key)
        let place = slots[slot]
        if place != Self.none {
            weightSum += Int(weight) - Int(nodes[Int(place)].weight)
            nodes[Int(place)].weight = weight
            nodes[Int(place)].touched = clock
            if place != newest {
                unlink(place)
                linkNewest(place)
            }
            return true
        }
        if (count + 1) * 4 > slots.count * 3 {
            grow()
            slot = self.slot(of: key)
        }
        let node = Node(key: key, newer: Self.none, older: Self.none, weight: weight, touched: clock)
        var added = firstFree
        if added != Self.none {
            firstFree = nodes[Int(added)].older
            nodes[Int(added)] = node
        } else {
            added = Int32(nodes.count)
            nodes.append(node)
        }
        slots[slot] = added
        linkNewest(added)
        weightSum += Int(weight)
        count += 1
        return false
    }

    /// Removes the block that was not used for the longest time.
    mutating func removeOldest() -> UInt64? {
        guard oldest != Self.none else { return nil }
        let key = nodes[Int(oldest)].key
        _ = remove(key)
        return key
    }

    /// Removes a block; false if it is not there.
    mutating func remove(_ key: UInt64) -> Bool {
        guard !slots.isEmpty else { return false }
        let slot = slot(of: key)
        let place = slots[slot]
        guard place != Self.none else { return false }
        weightSum -= Int(nodes[Int(place)].weight)
        unlink(place)
        nodes[Int(place)].older = firstFree
        firstFree = place
        count -= 1
        vacate(slot)
        return true
    }

    /// Visits all blocks, the most recent one first.
    func forEach(_ body: (UInt64) -> Void) {
        var place = newest
        while place != Self.none {
            body(nodes[Int(place)].key)
            place = nodes[Int(place)].older
        }
    }

    private mutating func linkNewest(_ place: Int32) {
        nodes[Int(place)].newer = Self.none
        nodes[Int(place)].older = newest
        if newest != Self.none { nodes[Int(newest)].newer = place } else { oldest = place }
        newest = place
    }

    private mutating func unlink(_ place: Int32) {
        let newer = nodes[Int(place)].newer
        let older = nodes[Int(place)].older
        if newer != Self.none { nodes[Int(newer)].older = older } else { newest = older }
        if older != Self.none { nodes[Int(older)].newer = newer } else { oldest = newer }
    }

    @inline(__always)
    private func home(of key: UInt64) -> Int {
        Int(truncatingIfNeeded: (key &* 0x9E37_79B9_7F4A_7C15) &>> 32) & (slots.count &- 1)
    }

    /// Where a key's place is noted, or would be.
    @inline(__always)
    private func slot(of key: UInt64) -> Int {
        var index = home(of: key)
        while slots[index] != Self.none, nodes[Int(slots[index])].key != key {
            index = (index &+ 1) & (slots.count &- 1)
        }
        return index
    }

    /// Empties a slot and moves those behind it that would not be found any more.
    private mutating func vacate(_ index: Int) {
        let mask = slots.count - 1
        var hole = index
        var next = (hole + 1) & mask
        while slots[next] != Self.none {
            let home = home(of: nodes[Int(slots[next])].key)
            if (next &- home) & mask >= (next &- hole) & mask {
                slots[hole] = slots[next]
                hole = next
            }
            next = (next + 1) & mask
        }
        slots[hole] = Self.none
    }

    private mutating func grow() {
        let old = slots
        slots = [Int32](repeating: Self.none, count: old.count * 2)
        for place in old where place != Self.none { slots[slot(of: nodes[Int(place)].key)] = place }
    }
}
