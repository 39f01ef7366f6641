import Basics
import HeapModule

/// What is going to happen, in virtual time; things of the same instant happen in the order in which they were put down.
struct Agenda {
    private struct Item: Comparable {
        let at: Instant
        let number: UInt64
        let happening: Happening

        static func < (left: Item, right: Item) -> Bool { (left.at, left.number) < (right.at, right.number) }
        static func == (left: Item, right: Item) -> Bool { left.number == right.number }
    }

    private var heap = Heap<Item>()
    private var lastNumber: UInt64 = 0

    mutating func put(_ happening: Happening, at instant: Instant) {
        lastNumber += 1
        heap.insert(Item(at: instant, number: lastNumber, happening: happening))
    }

    mutating func next() -> (at: Instant, happening: Happening)? {
        heap.popMin().map { ($0.at, $0.happening) }
    }
}
