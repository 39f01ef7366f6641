import Basics
import Testing

@testable import Gateway

private func at(_ milliseconds: Double) -> Instant { .zero + .milliseconds(milliseconds) }

@Test func theLongestGapBetweenTokensIsToldOnce() {
    var gaps = OutputGaps()
    for (events, milliseconds) in [(1, 500.0), (2, 510), (2, 530), (3, 590), (4, 600)] {
        gaps.arrived(events: events, now: at(milliseconds))
    }
    // The wait for the first token is none; a piece without a token ends none.
    let told1 = gaps.take()
    #expect(told1 == .milliseconds(80))
    gaps.arrived(events: 5, now: at(620))
    let told2 = gaps.take()
    #expect(told2 == .milliseconds(20))
}

@Test func nobodyKnowsHowLongTokensTookThatArriveTogether() {
    var gaps = OutputGaps()
    gaps.arrived(events: 1, now: at(0))
    gaps.arrived(events: 3, now: at(90))
    let told3 = gaps.take()
    #expect(told3 == nil)
    gaps.arrived(events: 4, now: at(100))
    let told4 = gaps.take()
    #expect(told4 == .milliseconds(10))
}
