import Basics
import Delivery
import Testing

@Suite struct BacklogTests {
    private var backlog = Backlog()
    private let now = Instant(seconds: 1000)

    /// Ten messages a second finish, for long enough that the estimate knows.
    private mutating func drain() {
        for tick in -3000..<0 { backlog.finishedOne(at: now + .seconds(Double(tick) * 0.1)) }
    }

    @Test mutating func theDrainRateIsThatOfTheResults() {
        drain()
        #expect(abs(backlog.drainRate(at: now) - 10) < 0.2)
        #expect(backlog.drainRate(at: now + .seconds(300)) < 0.01)
    }

    @Test mutating func retriesReturnNoFasterThanHalfTheDrainRateWhileFreshWorkWaits() {
        drain()
        backlog.observe(ready: 1, delayed: 600)
        // 600 retries, each away for 120 s, are 5 a second.
        #expect(abs(backlog.retryPause(at: now).seconds - 120) < 3)
        for _ in 0..<600 { backlog.delayedOne() }
        #expect(abs(backlog.retryPause(at: now).seconds - 240) < 6, "those sent away since the last look count")
        backlog.observe(ready: 1, delayed: 0)
        #expect(backlog.retryPause(at: now) == .zero)
    }

    @Test mutating func aProcessThatHasJustStartedKnowsItsRateAfterASecond() {
        for tick in 0..<40 { backlog.finishedOne(at: now + .seconds(Double(tick) * 0.05)) }
        #expect(abs(backlog.drainRate(at: now + .seconds(2)) - 20) < 1)
        backlog.observe(ready: 1000, delayed: 20)
        #expect(abs(backlog.retryPause(at: now + .seconds(2)).seconds - 2) < 0.2)
    }

    @Test mutating func withoutFreshWorkOrAKnownRateNothingStaysAway() {
        backlog.observe(ready: 100, delayed: 1000)
        #expect(backlog.retryPause(at: now) == .zero)
        drain()
        backlog.observe(ready: 0, delayed: 1000)
        #expect(backlog.retryPause(at: now) == .zero)
    }

    @Test mutating func nonsenseFromAQueueIsTakenAsNothing() {
        drain()
        backlog.observe(ready: -5, delayed: -7)
        #expect(backlog.ready == 0 && backlog.delayed == 0 && backlog.retryPause(at: now) == .zero)
    }
}
