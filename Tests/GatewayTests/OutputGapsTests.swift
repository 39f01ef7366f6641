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
    #expect(gaps.take() == .milliseconds(80))
    gaps.arrived(events: 5, now: at(620))
    #expect(gaps.take() == .milliseconds(20))
}

@Test func nobodyKnowsHowLongTokensTookThatArriveTogether() {
    var gaps = OutputGaps()
    gaps.arrived(events: 1, now: at(0))
    gaps.arrived(events: 3, now: at(90))
    #expect(gaps.take() == nil)
    gaps.arrived(events: 4, now: at(100))
    #expect(gaps.take() == .milliseconds(10))
}
