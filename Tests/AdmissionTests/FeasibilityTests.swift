import Admission
import Basics
import Testing

@Suite struct DrainRateTests {
    @Test func aSteadyDrainIsMeasuredWhileWorkWaits() throws {
        var drain = DrainRate()
        #expect(drain.estimate(atOrAbove: 0) == nil)
        #expect(drain.retryAfter(waitingRequests: 100, atOrAbove: 0) == .seconds(1))
        for step in 0...200 {
            drain.observe(highestWaiting: 0, now: Instant(seconds: Double(step) * 0.1))
            drain.dispatched(priority: 0, tokens: 500)
        }
        let estimate = try #require(drain.estimate(atOrAbove: 0))
        #expect(abs(estimate.tokensPerSecond - 5000) < 1)
        #expect(abs(estimate.requestsPerSecond - 10) < 0.01)
        #expect(estimate.observedRequests == 200)
        #expect(drain.retryAfter(waitingRequests: 50, atOrAbove: 0) == .seconds(5))
        #expect(drain.retryAfter(waitingRequests: 5000, atOrAbove: 0) == .seconds(30))
        #expect(drain.retryAfter(waitingRequests: 0, atOrAbove: 0) == .seconds(1))
    }

    @Test func anIdleTimeSaysNothingAboutTheDrain() throws {
        var drain = DrainRate()
        for step in 0...400 {
            let waits = step <= 100
            drain.observe(highestWaiting: waits ? 0 : nil, now: Instant(seconds: Double(step) * 0.1))
            drain.dispatched(priority: 0, tokens: waits ? 500 : 1)
        }
        #expect(abs(try #require(drain.estimate(atOrAbove: 0)).tokensPerSecond - 5000) < 1)
    }

    @Test func aHigherBandIsDrainedByWhatItGetsAndALowerOneByAll() throws {
        var drain = DrainRate()
        for step in 0...100 {
            drain.observe(highestWaiting: step % 2 == 0 ? 5 : 0, now: Instant(seconds: Double(step) * 0.1))
            drain.dispatched(priority: 5, tokens: 300)
            drain.dispatched(priority: 0, tokens: 100)
        }
        // Work at 5 never waited through a whole bin.
        #expect(drain.estimate(atOrAbove: 5) == nil)
        #expect(abs(try #require(drain.estimate(atOrAbove: 0)).tokensPerSecond - 4000) < 1)
    }

    @Test func aRoomMeasuresItsOwnDrain() throws {
        var room = WaitingRoom()
        for id in 0..<1000 as Range<UInt64> { _ = room.admit(request(id, priority: Int(id % 2), input: 100)) }
        for step in 0..<400 {
            let now = Double(step) * 0.05
            #expect(room.expiredIDs(at: now) == [])
            _ = room.dispatchNext(at: now)
        }
        #expect(abs(try #require(room.drain.estimate(atOrAbove: 0)).tokensPerSecond - 2000) < 1)
        #expect(room.retryAfter(priority: 1) == .seconds(100.0 / 20))
        #expect(room.retryAfter(priority: 0) == .seconds(600.0 / 20))
    }

    @Test func theBandsThatAreToldApartAreBounded() throws {
        var drain = DrainRate(maxBands: 2)
        for step in 0...100 {
            drain.observe(highestWaiting: 0, now: Instant(seconds: Double(step) * 0.1))
            for priority in 0..<10 { drain.dispatched(priority: priority, tokens: 10) }
        }
        #expect(abs(try #require(drain.estimate(atOrAbove: 0)).tokensPerSecond - 1000) < 1)
    }
}

@Suite struct DeadlineFeasibilityTests {
    private func forecast(tokens: Int = 10_000, dispatches: Int = 100, answers: Int = 100)
        -> DeadlineFeasibility.Forecast
    {
        DeadlineFeasibility.Forecast(
            tokensAhead: tokens,
            drain: DrainEstimate(
                tokensPerSecond: 1000, requestsPerSecond: 2, observedRequests: dispatches, observedTime: .seconds(50)),
            timeToFirstToken: .seconds(2), outputTime: .seconds(3), observedAnswers: answers)
    }

    private let judge = DeadlineFeasibility()
    private let now = Instant(seconds: 100)

    @Test(arguments: [(114.9, false), (115, true), (200, true), (90, false)])
    func aDeadlineCanBeKeptIfQueueAndAnswerFit(deadline: Double, feasible: Bool) {
        // 10 000 tokens at 1000/s, then 2 s to the first token and 3 s of output: there at 115 s.
        #expect(
            judge.judge(deadline: Instant(seconds: deadline), forecast(), now: now)
                == (feasible ? .feasible : .infeasible(earliest: Instant(seconds: 115))))
    }

    @Test func anEstimateThatRestsOnLittleIsHeldAgainstNobody() {
        func verdict(_ deadline: Double, dispatches: Int, answers: Int) -> Bool {
            let forecast = forecast(dispatches: dispatches, answers: answers)
            return judge.judge(deadline: Instant(seconds: deadline), forecast, now: now) == .feasible
        }
        #expect(verdict(100.1, dispatches: 0, answers: 0))
        // Half of the queue's 10 s and a fifth of the answer's 5 s count: 6 s.
        #expect(verdict(106, dispatches: 25, answers: 10))
        #expect(!verdict(105.9, dispatches: 25, answers: 10))
    }

    @Test func anUnknownOrStandingDrainAndNoDeadlineRefuseNobody() {
        var unknown = forecast()
        unknown.drain = nil
        #expect(judge.judge(deadline: Instant(seconds: 105), unknown, now: now) == .feasible)
        unknown.drain = DrainEstimate(
            tokensPerSecond: 0, requestsPerSecond: 0, observedRequests: 100, observedTime: .seconds(10))
        #expect(judge.judge(deadline: Instant(seconds: 105), unknown, now: now) == .feasible)
        #expect(judge.judge(deadline: .distantFuture, forecast(tokens: .max), now: now) == .feasible)
    }

    @Test func toleranceAndTheSwitchAreHonoured() {
        let late = Instant(seconds: 110)
        #expect(DeadlineFeasibility(isEnabled: false).judge(deadline: late, forecast(), now: now) == .feasible)
        #expect(DeadlineFeasibility(tolerance: 1.5).judge(deadline: late, forecast(), now: now) == .feasible)
        #expect(DeadlineFeasibility(tolerance: 1.4).judge(deadline: late, forecast(), now: now) != .feasible)
    }
}
