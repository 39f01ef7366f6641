import Basics
import Testing

@testable import Prediction

private func at(_ milliseconds: Double) -> Instant { .zero + .milliseconds(milliseconds) }

@Test func aStretchHoldsWhatRanWhileItLasted() throws {
    var stretches = StepStretches()
    stretches.loads(decodes: 2, contextTokens: 1000, now: at(0))
    let first = stretches.progressed(
        7, outputTokens: 1, prefillTokens: 500, attention: 10, shownTokens: 100, now: at(0))
    #expect(first == nil)
    #expect(!stretches.isCounting)
    stretches.loads(decodes: 4, contextTokens: 3000, now: at(50))
    stretches.loads(decodes: 9, contextTokens: 9000, now: at(200))
    let stretch = stretches.progressed(
        7, outputTokens: 17, prefillTokens: 900, attention: 30, shownTokens: 350, now: at(200))
    let sample = try #require(stretch).sample
    // 50 ms of 2 and 150 ms of 4; what began at its end does not count.
    #expect(sample.steps == 16 && sample.milliseconds == 200 && sample.decodes == 3.5)
    #expect(sample.contextTokens == 2500 && sample.prefillTokens == 400 && sample.attention == 20)
    #expect(stretch?.shownTokens == 250)
    #expect(stretches.isCounting)
}

@Test func aShortStretchGoesOn() throws {
    var stretches = StepStretches()
    let first = stretches.progressed(7, outputTokens: 1, prefillTokens: 0, attention: 0, shownTokens: 0, now: at(0))
    #expect(first == nil)
    let tooSoon = stretches.progressed(7, outputTokens: 8, prefillTokens: 0, attention: 0, shownTokens: 0, now: at(70))
    #expect(tooSoon == nil)
    let stretch = stretches.progressed(7, outputTokens: 9, prefillTokens: 0, attention: 0, shownTokens: 0, now: at(80))
    let sample = try #require(stretch).sample
    #expect(sample.steps == 8 && sample.milliseconds == 80)
}

@Test func silentAnswersMakeRoomForOthers() {
    var stretches = StepStretches()
    for id in 0..<20 as Range<UInt64> {
        let first = stretches.progressed(
            id, outputTokens: 1, prefillTokens: 0, attention: 0, shownTokens: 0, now: at(0))
        #expect(first == nil)
    }
    // The first eight are followed; the others are not while those are not known to be silent.
    let followed = stretches.progressed(
        7, outputTokens: 17, prefillTokens: 0, attention: 0, shownTokens: 0, now: at(160))
    #expect(followed != nil)
    let other = stretches.progressed(19, outputTokens: 17, prefillTokens: 0, attention: 0, shownTokens: 0, now: at(160))
    #expect(other == nil)
    // Three stretches of 160 ms later they are, and an answer takes the place of one of them.
    let joined = stretches.progressed(
        19, outputTokens: 33, prefillTokens: 0, attention: 0, shownTokens: 0, now: at(700))
    #expect(joined == nil)
    let next = stretches.progressed(19, outputTokens: 49, prefillTokens: 0, attention: 0, shownTokens: 0, now: at(860))
    #expect(next != nil)
}
