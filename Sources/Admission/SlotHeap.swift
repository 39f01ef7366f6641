import HeapModule

/// A binary heap of places in dense columns, smallest key first, that knows where each of its items is.
///
/// Where is written to a column of the owner, passed to each change; so an item in the middle is removed in logarithmic
/// time and no dead items stay behind.
struct SlotHeap {
    struct Item: Comparable {
        var key: Int64
        var tie: UInt64
        var slot: Int

        static func < (left: Item, right: Item) -> Bool {
            left.key != right.key ? left.key < right.key : left.tie < right.tie
        }
    }

    private(set) var items: [Item] = []

    var isEmpty: Bool { items.isEmpty }
    var first: Item? { items.first }

    mutating func insert(_ item: Item, positions: inout [Int32]) {
        items.append(item)
        siftUp(from: items.count - 1, positions: &positions)
    }

    mutating func remove(slot: Int, positions: inout [Int32]) {
        let position = Int(positions[slot])
        positions[slot] = -1
        let last = items.removeLast()
        guard position < items.count else { return }
        place(last, at: position, positions: &positions)
    }

    mutating func update(slot: Int, to item: Item, positions: inout [Int32]) {
        place(item, at: Int(positions[slot]), positions: &positions)
    }

    /// The slots of the `limit` smallest items, in order.
    func smallest(_ limit: Int) -> [Int] {
        var slots: [Int] = []
        guard limit > 0, let first else { return slots }
        var frontier = Heap([Candidate(item: first, position: 0)])
        while slots.count < limit, let next = frontier.popMin() {
            slots.append(next.item.slot)
            for child in [2 * next.position + 1, 2 * next.position + 2] where child < items.count {
                frontier.insert(Candidate(item: items[child], position: child))
            }
        }
        return slots
    }

    /// Slots whose keys are at most `key`, in no order; at most `limit` of them.
    func slots(upTo key: Int64, limit: Int) -> [Int] {
        var slots: [Int] = []
        var open = items.isEmpty ? [] : [0]
        while slots.count < limit, let position = open.popLast() {
            guard items[position].key <= key else { continue }
            slots.append(items[position].slot)
            for child in [2 * position + 1, 2 * position + 2] where child < items.count { open.append(child) }
        }
        return slots
    }

    private struct Candidate: Comparable {
        var item: Item
        var position: Int

        static func < (left: Candidate, right: Candidate) -> Bool { left.item < right.item }
    }

    private mutating func place(_ item: Item, at position: Int, positions: inout [Int32]) {
        items[position] = item
        if position > 0, item < items[(position - 1) / 2] {
            siftUp(from: position, positions: &positions)
        } else {
            siftDown(from: position, positions: &positions)
        }
    }

    private mutating func siftUp(from start: Int, positions: inout [Int32]) {
        let item = items[start]
        var hole = start
        while hole > 0 {
            let parent = (hole - 1) / 2
            guard item < items[parent] else { break }
            items[hole] = items[parent]
            positions[items[hole].slot] = Int32(hole)
            hole = parent
        }
        items[hole] = item
        positions[item.slot] = Int32(hole)
    }

    private mutating func siftDown(from start: Int, positions: inout [Int32]) {
        let item = items[start]
        let count = items.count
        var hole = start
        while 2 * hole + 1 < count {
            var child = 2 * hole + 1
            if child + 1 < count, items[child + 1] < items[child] { child += 1 }
            guard items[child] < item else { break }
            items[hole] = items[child]
            positions[items[hole].slot] = Int32(hole)
            hole = child
        }
        items[hole] = item
        positions[item.slot] = Int32(hole)
    }
}
