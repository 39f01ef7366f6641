import Basics
import Testing

@testable import GoogleAuth

@Suite struct TokenScheduleTests {
    private var schedule = TokenSchedule(seed: 1)
    private let start = Instant(seconds: 1000)

    private func token(_ value: String, at issued: Instant, life: Double = 3600) -> AccessToken {
        AccessToken(value: value, issued: issued, expires: issued + .seconds(life))
    }

    private let trouble = GoogleAuthError.unavailable(account: "x", reason: "y")

    @Test mutating func theFirstCallerStartsTheFetchAndTheOthersWaitForIt() {
        #expect(schedule.ask(now: start) == .wait(startsFetch: true))
        #expect(schedule.ask(now: start) == .wait(startsFetch: false))
        schedule.noteFetched(token("a", at: start), now: start)
        #expect(schedule.ask(now: start) == .token("a", startsFetch: false))
    }

    @Test mutating func aTokenIsReplacedAheadOfItsExpiryWhileItIsStillUsed() {
        _ = schedule.ask(now: start)
        schedule.noteFetched(token("a", at: start), now: start)
        #expect(schedule.ask(now: start + .seconds(3600 - 226)) == .token("a", startsFetch: false))
        let due = start + .seconds(3600 - 225)
        #expect(schedule.ask(now: due) == .token("a", startsFetch: true))
        #expect(schedule.ask(now: due) == .token("a", startsFetch: false))
        schedule.noteFetched(token("b", at: due), now: due)
        #expect(schedule.ask(now: due) == .token("b", startsFetch: false))
    }

    @Test mutating func aShortLivedTokenIsReplacedInItsLastQuarter() {
        _ = schedule.ask(now: start)
        schedule.noteFetched(token("a", at: start, life: 40), now: start)
        #expect(schedule.ask(now: start + .seconds(29)) == .token("a", startsFetch: false))
        #expect(schedule.ask(now: start + .seconds(30)) == .token("a", startsFetch: true))
    }

    @Test mutating func aFailedRefreshLeavesTheTokenInUseUntilItEnds() {
        _ = schedule.ask(now: start)
        schedule.noteFetched(token("a", at: start), now: start)
        var now = start + .seconds(3600 - 200)
        #expect(schedule.ask(now: now) == .token("a", startsFetch: true))
        while case .fetchAgain(let pause) = schedule.noteFailed(trouble, now: now) { now = now + pause }
        #expect(schedule.ask(now: now) == .token("a", startsFetch: false))
        #expect(schedule.ask(now: now + .seconds(60)) == .token("a", startsFetch: true))
        while case .fetchAgain = schedule.noteFailed(trouble, now: now + .seconds(60)) {}
        #expect(schedule.ask(now: start + .seconds(3600 - 9)) == .wait(startsFetch: true))
    }

    @Test mutating func failuresAreRepeatedWithGrowingPausesAndThenTold() {
        _ = schedule.ask(now: start)
        var pauses: [Double] = []
        while case .fetchAgain(let pause) = schedule.noteFailed(trouble, now: start) { pauses.append(pause.seconds) }
        #expect(pauses.count == 3)
        for (pause, most) in zip(pauses, [0.5, 1, 2]) { #expect(pause <= most && pause >= most * 0.75) }
        #expect(schedule.ask(now: start + .seconds(2.9)) == .failed(trouble))
        #expect(schedule.ask(now: start + .seconds(4)) == .wait(startsFetch: true))
    }

    @Test mutating func pausesAreBounded() {
        var now = start
        for _ in 0..<100 {
            _ = schedule.ask(now: now)
            if case .fetchAgain(let pause) = schedule.noteFailed(trouble, now: now) {
                #expect(pause <= .seconds(60))
            }
            now = now + .seconds(60)
        }
    }

    @Test mutating func aRefusalIsToldAtOnce() {
        _ = schedule.ask(now: start)
        let refusal = GoogleAuthError.refused(account: "x", reason: "y")
        #expect(schedule.noteFailed(refusal, now: start) == .giveUp)
        #expect(schedule.ask(now: start + .seconds(0.3)) == .failed(refusal))
        #expect(schedule.ask(now: start + .seconds(0.6)) == .wait(startsFetch: true))
    }

    @Test mutating func theSameTokenAgainIsNotAskedForInALoop() {
        _ = schedule.ask(now: start)
        let given = token("a", at: start)
        schedule.noteFetched(given, now: start)
        let due = start + .seconds(3500)
        #expect(schedule.ask(now: due) == .token("a", startsFetch: true))
        schedule.noteFetched(given, now: due)
        #expect(schedule.ask(now: due + .seconds(9)) == .token("a", startsFetch: false))
        #expect(schedule.ask(now: due + .seconds(10)) == .token("a", startsFetch: true))
    }

    @Test mutating func aTokenThatAServerDoesNotTakeIsNotHandedOutAgain() {
        _ = schedule.ask(now: start)
        schedule.noteFetched(token("a", at: start), now: start)
        schedule.discard("of someone else")
        #expect(schedule.ask(now: start) == .token("a", startsFetch: false))
        schedule.discard("a")
        #expect(schedule.ask(now: start) == .wait(startsFetch: true))
    }
}
