import HeapModule

/// Requests that wait, most urgent first.
///
/// One order serves both policies: rank, then arrival. A preempted request keeps its arrival, which puts it in front of
/// everything of its rank that has never run, as vLLM does. Requests that leave early stay behind as stale entries and
/// are dropped when they surface; their number is bounded by the number of live ones.
struct WaitingQueue: Sendable {
    struct Entry: Comparable, Sendable {
        var rank: Int
        var sequence: UInt64
        var slot: Int32

        static func < (left: Entry, right: Entry) -> Bool {
            left.rank != right.rank ? left.rank < right.rank : left.sequence < right.sequence
        }
    }

    private var entries = Heap<Entry>()
    /// Live entries.
    private(set) var count = 0

    mutating func insert(_ entry: Entry) {
        entries.insert(entry)
        count += 1
    }

    /// The most urgent live slot.
    mutating func first(in slots: [Slot]) -> Int32? {
        while let entry = entries.min {
            if Self.isLive(entry, in: slots) { return entry.slot }
            entries.removeMin()
        }
        return nil
    }

    /// Removes what `first` has just returned.
    mutating func removeFirst() {
        entries.removeMin()
        count -= 1
    }

    /// Notes that some entry is about to become stale; `slots` must say so already.
    mutating func forgetOne(slots: [Slot]) {
        count -= 1
        if entries.count > 2 * count + 64 {
            entries = Heap(entries.unordered.filter { Self.isLive($0, in: slots) })
        }
    }

    private static func isLive(_ entry: Entry, in slots: [Slot]) -> Bool {
        let slot = slots[Int(entry.slot)]
        return slot.state == .waiting && slot.sequence == entry.sequence
    }
}
