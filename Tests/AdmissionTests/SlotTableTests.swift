import Basics
import Testing

@testable import Admission

/// Where a request is that waits, under the names of requests that come and go.
@Suite struct SlotTableTests {
    /// Names as callers give them, and names that all but collide: multiples of a power of two, and neighbours.
    private static let names: [@Sendable (UInt64) -> UInt64] = [{ $0 }, { $0 << 48 }, { .max - $0 }, { $0 &* 0x9E37 }]

    @Test(arguments: 0..<4, [10, 300])
    func itSaysWhatADictionarySays(kind: Int, range: Int) {
        var generator = SeededGenerator(seed: UInt64(kind + 1))
        var table = SlotTable()
        var reference: [UInt64: Int] = [:]
        for step in 0..<5000 {
            let id = Self.names[kind](generator.next() % UInt64(range))
            // Now more of them come, now more of them go.
            if generator.next() % 8 < (step / 500 % 2 == 0 ? 6 : 2) {
                table.insert(id, slot: step)
                reference[id] = step
            } else {
                table.remove(id)
                reference[id] = nil
            }
            #expect(table.count == reference.count)
            guard step % 50 == 0 else { continue }
            for number in 0..<UInt64(range) {
                let id = Self.names[kind](number)
                #expect(table[id] == reference[id])
            }
        }
    }

    @Test func manyComeInOrderAndLeaveInOrder() {
        var table = SlotTable()
        for id in 0..<100_000 as Range<UInt64> {
            table.insert(id, slot: Int(id))
            if id >= 1000 { table.remove(id - 1000) }
        }
        #expect(table.count == 1000)
        #expect(table[99_000] == 99_000 && table[98_999] == nil && table[100_000] == nil)
    }
}
