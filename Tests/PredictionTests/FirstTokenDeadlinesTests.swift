import Basics
import Testing

@testable import Prediction

private func at(_ seconds: Double) -> Instant { Instant(seconds: seconds) }

private func counts(_ deadlines: inout FirstTokenDeadlines, now: Instant) -> [Int] {
    let passed = deadlines.takePassed(now: now)
    return passed.indices.map { passed[$0] }
}

@Test func aDeadlineIsToldOnceWhenItHasPassed() {
    var deadlines = FirstTokenDeadlines()
    deadlines.sent(1, passesAt: at(10), depth: 4)
    deadlines.sent(2, passesAt: at(3), depth: 1)
    deadlines.sent(3, passesAt: at(5), depth: 4)
    #expect(!deadlines.hasPassed(now: at(3)))
    #expect(counts(&deadlines, now: at(3)) == [0, 0, 0, 0, 0, 0])
    #expect(counts(&deadlines, now: at(6)) == [0, 1, 0, 0, 1, 0])
    #expect(!deadlines.hasPassed(now: at(9)))
    #expect(counts(&deadlines, now: at(11)) == [0, 0, 0, 0, 1, 0])
    #expect(!deadlines.hasPassed(now: at(1e6)))
}

@Test func aRequestThatIsAnsweredInTimeIsNoMiss() {
    var deadlines = FirstTokenDeadlines()
    deadlines.sent(1, passesAt: at(1), depth: 0)
    deadlines.sent(2, passesAt: at(1), depth: 0)
    #expect(!deadlines.remove(1))
    #expect(counts(&deadlines, now: at(2)) == [1, 0, 0, 0, 0, 0])
    #expect(deadlines.remove(2))
    #expect(!deadlines.remove(2) && !deadlines.remove(99))
}

@Test func noMoreThanALimitedNumberIsWatched() {
    var deadlines = FirstTokenDeadlines()
    for id in 0..<UInt64(5000) { deadlines.sent(id, passesAt: at(1), depth: 2) }
    #expect(counts(&deadlines, now: at(2)) == [0, 0, 4096, 0, 0, 0])
    deadlines.sent(9999, passesAt: at(3), depth: 2)
    #expect(counts(&deadlines, now: at(4)) == [0, 0, 0, 0, 0, 0])
    for id in 0..<UInt64(5000) { _ = deadlines.remove(id) }
    deadlines.sent(9999, passesAt: at(5), depth: 2)
    #expect(counts(&deadlines, now: at(6)) == [0, 0, 1, 0, 0, 0])
}
