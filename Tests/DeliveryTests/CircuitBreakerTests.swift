import Basics
import Delivery
import Testing

@Suite struct CircuitBreakerTests {
    private var breaker = CircuitBreaker(failureLimit: 3, cap: .seconds(30))
    private var generator = SeededGenerator(seed: 1)
    private let now = Instant(seconds: 100)

    private mutating func fail(_ count: Int = 1, at now: Instant) -> Bool {
        var opened = false
        for _ in 0..<count { opened = breaker.failed(now: now, using: &generator) }
        return opened
    }

    @Test mutating func onlyFailuresInARowOpenIt() {
        #expect(!fail(2, at: now))
        breaker.succeeded()
        #expect(!fail(2, at: now))
        #expect(breaker.isClosed && breaker.admits(now: now) == true && breaker.opensAt == nil)
        let opened = fail(at: now)
        #expect(opened)
        #expect(!breaker.isClosed && breaker.admits(now: now) == false)
        let more = fail(5, at: now)
        #expect(!more, "what was out already opens nothing anew")
    }

    @Test mutating func afterAPauseOneRequestProbesAndItsSuccessClosesIt() throws {
        _ = fail(3, at: now)
        let opensAt = try #require(breaker.opensAt)
        #expect(opensAt >= now + .seconds(0.5) && opensAt <= now + .seconds(1))
        #expect(breaker.admits(now: opensAt - .milliseconds(1)) == false)
        let admits = breaker.admits(now: opensAt)
        #expect(admits)
        breaker.sent()
        #expect(breaker.admits(now: opensAt + .seconds(100)) == false, "one probe at a time")
        breaker.succeeded()
        #expect(breaker.isClosed && breaker.admits(now: opensAt) == true)
        let opened = fail(2, at: now)
        #expect(!opened, "failures are counted anew")
    }

    @Test mutating func aProbeThatTellsNothingIsFollowedByAnotherAtOnce() throws {
        _ = fail(3, at: now)
        let opensAt = try #require(breaker.opensAt)
        #expect(breaker.admits(now: opensAt) == true)
        breaker.sent()
        breaker.toldNothing()
        #expect(breaker.admits(now: opensAt) == true && !breaker.isClosed)
    }

    @Test mutating func failedProbesDoubleThePauseUpToTheCapAndASuccessMakesItShortAgain() throws {
        _ = fail(3, at: now)
        var instant = now
        for bound in [1.0, 2, 4, 8, 16, 30, 30, 30] {
            let opensAt = try #require(breaker.opensAt)
            let pause = (opensAt - instant).seconds
            #expect(pause >= bound / 2 && pause <= bound)
            instant = opensAt
            #expect(breaker.admits(now: instant) == true)
            breaker.sent()
            let opened = fail(at: instant)
            #expect(!opened, "it has been open all the time")
        }
        breaker.succeeded()
        _ = fail(3, at: instant)
        #expect(try #require(breaker.opensAt) <= instant + .seconds(1))
    }

    @Test mutating func aTripOpensItWhateverCameBefore() {
        breaker.succeeded()
        let opened = breaker.trip(now: now, using: &generator)
        #expect(opened)
        let again = breaker.trip(now: now, using: &generator)
        #expect(!again)
        #expect(breaker.admits(now: now) == false)
    }

    @Test func thePausesOfManyBreakersAreSpread() throws {
        var pauses: [Double] = []
        for seed in 0..<200 {
            var breaker = CircuitBreaker(failureLimit: 1, cap: .seconds(30))
            var generator = SeededGenerator(seed: UInt64(seed))
            _ = breaker.failed(now: now, using: &generator)
            pauses.append((try #require(breaker.opensAt) - now).seconds)
        }
        #expect((pauses.min() ?? 1) < 0.55 && (pauses.max() ?? 0) > 0.95)
    }
}
