/// Which place each request has that waits: a hash table from names to places, in one dense column.
///
/// It is asked at every step, and with many requests each question is a trip to memory: here it is one, where a dictionary
/// makes three (its bitmap, its keys, its values) and hashes its neighbours again whenever one leaves. Callers number
/// their requests themselves, so the hash has nobody to fear; multiplied by the golden ratio, consecutive numbers are
/// spread as evenly as can be (Knuth, "The art of computer programming", volume 3, 6.4).
struct SlotTable {
    private struct Entry {
        var id: UInt64 = 0
        /// -1: nobody.
        var slot: Int32 = -1
    }

    private static let goldenRatio: UInt64 = 0x9E37_79B9_7F4A_7C15

    private(set) var count = 0
    /// Searched from a request's own position on, to the first free one. A power of two, at most half of them taken.
    private var entries = Array(repeating: Entry(), count: 16)

    /// The place of a request; nil if it has none.
    subscript(id: UInt64) -> Int? {
        let slot = entries[position(of: id)].slot
        return slot < 0 ? nil : Int(slot)
    }

    /// Gives a request a place.
    mutating func insert(_ id: UInt64, slot: Int) {
        if 2 * (count + 1) > entries.count { grow() }
        let position = position(of: id)
        if entries[position].slot < 0 { count += 1 }
        entries[position] = Entry(id: id, slot: Int32(slot))
    }

    /// Takes a request's place away; those that had to move on because of it come back.
    mutating func remove(_ id: UInt64) {
        var hole = position(of: id)
        guard entries[hole].slot >= 0 else { return }
        count -= 1
        let mask = entries.count - 1
        var next = (hole + 1) & mask
        while entries[next].slot >= 0 {
            // One may go back as far as its own position.
            if (next - home(of: entries[next].id)) & mask >= (next - hole) & mask {
                entries[hole] = entries[next]
                hole = next
            }
            next = (next + 1) & mask
        }
        entries[hole].slot = -1
    }

    /// Where a request is, or where it would be.
    private func position(of id: UInt64) -> Int {
        var position = home(of: id)
        while entries[position].slot >= 0, entries[position].id != id {
            position = (position + 1) & (entries.count - 1)
        }
        return position
    }

    private func home(of id: UInt64) -> Int {
        Int(truncatingIfNeeded: (id &* Self.goldenRatio) >> UInt64(64 - entries.count.trailingZeroBitCount))
    }

    private mutating func grow() {
        var larger = SlotTable()
        larger.entries = Array(repeating: Entry(), count: 2 * entries.count)
        for entry in entries where entry.slot >= 0 { larger.insert(entry.id, slot: Int(entry.slot)) }
        self = larger
    }
}
