import Basics
import Testing

@testable import Delivery

@Suite struct TimetableTests {
    private var timetable = Timetable()

    private func lease(_ number: Int64) -> Lease { Lease(sequence: number, token: 1) }
    private func second(_ number: Double) -> Instant { Instant(seconds: number) }

    @Test mutating func looksComeInTheOrderOfTheirTimes() {
        for number: Int64 in [5, 1, 4, 2, 3] { timetable.set(lease(number), at: second(Double(number))) }
        #expect(timetable.next() == second(1))
        #expect(timetable.popDue(now: second(0.5)) == nil)
        var due: [Int64] = []
        while let lease = timetable.popDue(now: second(3)) { due.append(lease.sequence) }
        #expect(due == [1, 2, 3])
        #expect(timetable.next() == second(4) && !timetable.contains(lease(1)) && timetable.contains(lease(4)))
    }

    @Test mutating func anotherTimeReplacesTheFormerOne() {
        timetable.set(lease(1), at: second(1))
        timetable.set(lease(1), at: second(5))
        #expect(timetable.popDue(now: second(2)) == nil && timetable.next() == second(5))
        timetable.set(lease(1), at: second(3))
        #expect(timetable.popDue(now: second(4)) == lease(1))
        #expect(timetable.popDue(now: second(9)) == nil && timetable.next() == nil)
    }

    @Test mutating func whatIsClearedIsNeverDue() {
        timetable.set(lease(1), at: second(1))
        timetable.clear(lease(1))
        #expect(!timetable.contains(lease(1)) && timetable.next() == nil && timetable.popDue(now: second(9)) == nil)
    }

    @Test func itAgreesWithASortedListHoweverOftenTimesChange() {
        var timetable = timetable
        var generator = SeededGenerator(seed: 3)
        var times: [Lease: Instant] = [:]
        for _ in 0..<20_000 {
            let lease = lease(Int64(generator.unit() * 50))
            let at = second(generator.unit() * 1000)
            if generator.unit() < 0.1 {
                timetable.clear(lease)
                times[lease] = nil
            } else {
                timetable.set(lease, at: at)
                times[lease] = at
            }
            #expect(timetable.next() == times.values.min())
        }
        var due: [Instant] = []
        while let lease = timetable.popDue(now: second(500)), let at = times[lease] { due.append(at) }
        #expect(due == times.values.filter { $0 <= second(500) }.sorted())
    }
}
