import Basics
import Testing

@testable import Prediction

/// Steps of 10 ms, and 10 ms per 1000 tokens.
private let law = StepLaw(decodeMilliseconds: 10, perTokenMilliseconds: 0.01, perAttentionMilliseconds: 0)

private func at(_ milliseconds: Double) -> Instant { .zero + .milliseconds(milliseconds) }

@Test func aPromptIsWorkedOffStepByStep() {
    var backlog = PrefillBacklog()
    backlog.sent(1, uncachedTokens: 2500, precedingTokens: 0, isIdle: true, law: law, budget: 1000, now: .zero)
    #expect(backlog.stepTokens == 1000 && backlog.stepMilliseconds == 20)
    backlog.roll(law: law, budget: 1000, now: at(45))
    // Two steps of 20 ms are over; the third computes the last 500 in 15 ms.
    #expect(backlog.remainingTokens == 500 && backlog.stepTokens == 500)
    #expect(backlog.stepBegan == at(40) && backlog.stepMilliseconds == 15)
    // It brings a first token, so it is waited for.
    backlog.roll(law: law, budget: 1000, now: at(100))
    #expect(backlog.remainingTokens == 500)
    backlog.firstToken(1, law: law, budget: 1000, now: at(101))
    #expect(backlog.remainingTokens == 0 && backlog.computedTokens == 0)
}

@Test func aFirstTokenEndsEverythingBeforeIt() {
    var backlog = PrefillBacklog()
    backlog.sent(1, uncachedTokens: 5000, precedingTokens: 0, isIdle: true, law: law, budget: 1000, now: .zero)
    backlog.sent(2, uncachedTokens: 300, precedingTokens: 100, isIdle: false, law: law, budget: 1000, now: .zero)
    backlog.sent(3, uncachedTokens: 400, precedingTokens: 0, isIdle: false, law: law, budget: 1000, now: .zero)
    #expect(backlog.waitingContextTokens == 5800)
    backlog.firstToken(2, law: law, budget: 1000, now: at(30))
    #expect(backlog.remainingTokens == 400 && backlog.stepTokens == 400 && backlog.stepBegan == at(30))
    backlog.firstToken(1, law: law, budget: 1000, now: at(30))
    backlog.withdrew(3)
    #expect(backlog.remainingTokens == 0 && backlog.waitingContextTokens == 0)
}

@Test func aLaterTokenMarksTheEndOfAStep() {
    var backlog = PrefillBacklog()
    backlog.sent(1, uncachedTokens: 5000, precedingTokens: 0, isIdle: true, law: law, budget: 1000, now: .zero)
    // The step took 18 ms instead of 20.
    backlog.tokenSeen(law: law, budget: 1000, now: at(18))
    #expect(backlog.remainingTokens == 4000 && backlog.stepBegan == at(18))
    // It was believed to have ended at 38 and ended at 40: no second step has passed.
    backlog.tokenSeen(law: law, budget: 1000, now: at(40))
    #expect(backlog.remainingTokens == 3000 && backlog.stepBegan == at(40))
}

@Test func aPromptJoinsADecodingEngineAtItsNextStep() {
    var backlog = PrefillBacklog()
    backlog.tokenSeen(law: law, budget: 1000, now: at(100))
    backlog.sent(1, uncachedTokens: 1500, precedingTokens: 0, isIdle: false, law: law, budget: 1000, now: at(134))
    #expect(backlog.stepTokens == 0 && backlog.stepBegan == at(130))
    backlog.roll(law: law, budget: 1000, now: at(141))
    #expect(backlog.stepTokens == 1000 && backlog.stepBegan == at(140))
}

@Test func randomTrafficNeverLeavesAnythingBehind() {
    var generator = SeededGenerator(seed: 11)
    var backlog = PrefillBacklog()
    var live: [UInt64] = []
    var now = Instant.zero
    for id in 0..<UInt64(5000) {
        now = now + .milliseconds(generator.unit() * 30)
        let draw = generator.unit()
        if draw < 0.5 || live.isEmpty {
            backlog.sent(
                id, uncachedTokens: (1 + generator.unit() * 4000).rounded(), precedingTokens: 0, isIdle: live.isEmpty,
                law: law, budget: 1000, now: now)
            live.append(id)
        } else if draw < 0.9 {
            backlog.firstToken(live.removeFirst(), law: law, budget: 1000, now: now)
        } else {
            backlog.withdrew(live.remove(at: Int(generator.unit() * Double(live.count))))
        }
        #expect(backlog.remainingTokens >= 0 && backlog.computedTokens >= 0 && backlog.stepTokens <= 1000)
        #expect(backlog.remainingAttention >= -1e-3)
    }
    while !live.isEmpty { backlog.withdrew(live.removeLast()) }
    #expect(backlog.remainingTokens == 0 && backlog.computedTokens == 0)
    #expect(backlog.remainingAttention == 0 && backlog.waitingContextTokens == 0)
}

@Test func aPromptThatFindsNoRoomInTheKVCacheIsComputedAgain() {
    var law = law
    law.roomTokens = 2500
    var backlog = PrefillBacklog()
    backlog.sent(1, uncachedTokens: 4000, precedingTokens: 0, isIdle: true, law: law, budget: 1000, now: .zero)
    backlog.roll(law: law, budget: 1000, now: at(41))
    // Two steps of 1,000 fitted; the third does not, and takes back what was there.
    #expect(backlog.computedTokens == 0 && backlog.remainingTokens == 4000 && backlog.stepTokens == 0)
    #expect(backlog.totalTokens == 2000)
    law.roomTokens = 5000
    backlog.tokenSeen(law: law, budget: 1000, now: at(50))
    #expect(backlog.stepTokens == 1000)
}

@Test func aKVCacheThatIsFullerOrEmptierThanThoughtMovesTheBacklog() {
    var backlog = PrefillBacklog()
    backlog.sent(1, uncachedTokens: 3000, precedingTokens: 0, isIdle: true, law: law, budget: 1000, now: .zero)
    backlog.sent(2, uncachedTokens: 2000, precedingTokens: 0, isIdle: false, law: law, budget: 1000, now: .zero)
    backlog.correct(by: 3500, law: law, budget: 1000, now: at(10))
    #expect(backlog.computedTokens == 3500 && backlog.remainingTokens == 1500 && backlog.stepTokens == 1000)
    // What was computed last is lost first.
    backlog.correct(by: -1000, law: law, budget: 1000, now: at(20))
    #expect(backlog.computedTokens == 2500 && backlog.remainingTokens == 2500 && backlog.stepTokens == 1000)
    backlog.correct(by: -1e9, law: law, budget: 1000, now: at(30))
    #expect(backlog.computedTokens == 0 && backlog.remainingTokens == 5000)
    backlog.correct(by: 1e9, law: law, budget: 1000, now: at(40))
    #expect(backlog.computedTokens == 5000 && backlog.remainingTokens == 0)
}

@Test func whatWasNotComputedIsTurnedBack() {
    var backlog = PrefillBacklog()
    backlog.sent(1, uncachedTokens: 9000, precedingTokens: 0, isIdle: true, law: law, budget: 1000, now: .zero)
    // Five steps of 20 ms are over by the law.
    backlog.roll(law: law, budget: 1000, now: at(101))
    #expect(backlog.totalTokens == 5000 && backlog.remainingTokens == 4000 && backlog.shownTokens == 0)
    backlog.turnBack(3000, law: law, budget: 1000, now: at(101))
    #expect(backlog.totalTokens == 2000 && backlog.remainingTokens == 7000 && backlog.computedTokens == 2000)
    // The attention work of 2,000 tokens: each counts those before it.
    #expect(backlog.totalAttention == 2_000_000)
    #expect(backlog.stepTokens == 1000 && backlog.stepBegan == at(101))
    // A first token shows the rest to be done, and cannot be turned back by more than is listed.
    backlog.firstToken(1, law: law, budget: 1000, now: at(110))
    #expect(backlog.totalTokens == 9000 && backlog.shownTokens == 7000)
    backlog.turnBack(500, law: law, budget: 1000, now: at(110))
    #expect(backlog.totalTokens == 9000 && backlog.remainingTokens == 0)
}
