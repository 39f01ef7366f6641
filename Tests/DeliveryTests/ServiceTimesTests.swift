import Basics
import Delivery
import Testing

@Suite struct ServiceTimesTests {
    private var times = ServiceTimes()

    @Test mutating func tooFewAnswersTellNothing() {
        for _ in 0..<15 { times.observe(.seconds(10), tokens: 100) }
        #expect(times.median(limit: nil) == .zero && times.longest == .zero && times.fastest == .zero)
        times.observe(.seconds(10), tokens: 100)
        #expect(times.median(limit: nil) == .seconds(10))
        #expect(times.longest == .seconds(10) && times.fastest == .seconds(10))
    }

    @Test mutating func theMedianAndTheExtremesAreThoseOfTheLastAnswers() {
        for second in 1...64 { times.observe(.seconds(Double(second)), tokens: nil) }
        #expect(times.median(limit: nil) == .seconds(32.5))
        #expect(times.fastest == .seconds(1) && times.longest == .seconds(64))
        for _ in 0..<128 { times.observe(.seconds(5), tokens: nil) }
        #expect(times.median(limit: nil) == .seconds(5))
        #expect(times.fastest == .seconds(5) && times.longest == .seconds(5), "what was long ago is forgotten")
    }

    @Test mutating func aSmallLimitOnTheOutputShortensTheEstimateInProportion() {
        for _ in 0..<32 { times.observe(.seconds(20), tokens: 200) }
        #expect(times.median(limit: 50) == .seconds(5))
        #expect(times.median(limit: 200) == .seconds(20))
        #expect(times.median(limit: 100_000) == .seconds(20), "a limit says nothing of how long the answer will be")
        #expect(times.median(limit: 0) == .seconds(0.1))
    }

    @Test mutating func answersOfUnknownLengthCountInFull() {
        for _ in 0..<32 { times.observe(.seconds(20), tokens: nil) }
        #expect(times.median(limit: 1) == .seconds(20))
    }
}
