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
    let told1 = counts(&deadlines, now: at(3))
    #expect(told1 == [0, 0, 0, 0, 0, 0])
    let told2 = counts(&deadlines, now: at(6))
    #expect(told2 == [0, 1, 0, 0, 1, 0])
    #expect(!deadlines.hasPassed(now: at(9)))
    let told3 = counts(&deadlines, now: at(11))
    #expect(told3 == [0, 0, 0, 0, 1, 0])
    #expect(!deadlines.hasPassed(now: at(1e6)))
}

@Test func aRequestThatIsAnsweredInTimeIsNoMiss() {
    var deadlines = FirstTokenDeadlines()
    deadlines.sent(1, passesAt: at(1), depth: 0)
    deadlines.sent(2, passesAt: at(1), depth: 0)
    let told4 = deadlines.remove(1)
    #expect(!told4)
    let told5 = counts(&deadlines, now: at(2))
    #expect(told5 == [1, 0, 0, 0, 0, 0])
    let told6 = deadlines.remove(2)
    #expect(told6)
    let told7 = deadlines.remove(2)
    let told8 = deadlines.remove(99)
    #expect(!told7 && !told8)
}

@Test func noMoreThanALimitedNumberIsWatched() {
    var deadlines = FirstTokenDeadlines()
    for id in 0..<UInt64(5000) { deadlines.sent(id, passesAt: at(1), depth: 2) }
    let told9 = counts(&deadlines, now: at(2))
    #expect(told9 == [0, 0, 4096, 0, 0, 0])
    deadlines.sent(9999, passesAt: at(3), depth: 2)
    let told10 = counts(&deadlines, now: at(4))
    #expect(told10 == [0, 0, 0, 0, 0, 0])
    for id in 0..<UInt64(5000) { _ = deadlines.remove(id) }
    deadlines.sent(9999, passesAt: at(5), depth: 2)
    let told11 = counts(&deadlines, now: at(6))
    #expect(told11 == [0, 0, 1, 0, 0, 0])
}
