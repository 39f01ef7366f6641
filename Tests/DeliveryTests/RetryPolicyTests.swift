import Basics
import Delivery
import Testing

@Suite struct RetryPolicyTests {
    private let policy = RetryPolicy()

    @Test(arguments: [(1, 4.0), (2, 8), (3, 16), (4, 32), (5, 60), (6, 60), (1000, 60)])
    func backoffDoublesUpToTheCapWithEqualJitter(failure: Int, bound: Double) {
        var generator = SeededGenerator(seed: 7)
        let pauses = (0..<1000).map { _ in
            policy.backoff(
                failure: failure, remaining: .seconds(86_400), retryAfter: nil, using: &generator
            ).seconds
        }
        #expect(pauses.allSatisfy { $0 >= bound / 2 && $0 <= bound })
        // Spread over the whole range, or those that failed together return together.
        #expect((pauses.min() ?? 0) < bound * 0.55)
        #expect((pauses.max() ?? 0) > bound * 0.95)
    }

    @Test func aPauseNeverReachesTheDeadline() {
        var generator = SeededGenerator(seed: 1)
        for _ in 0..<2000 {
            let remaining = TimeSpan.seconds(0.001 + 100 * generator.unit())
            let retryAfter: TimeSpan? = generator.unit() < 0.5 ? .seconds(200 * generator.unit()) : nil
            let failure = Int(generator.unit() * 12)
            let pause = policy.backoff(
                failure: failure, remaining: remaining, retryAfter: retryAfter, using: &generator)
            #expect(pause <= remaining)
            #expect(pause > .zero)
        }
    }

    @Test func retryAfterLengthensThePauseAndNeverShortensIt() {
        var generator = SeededGenerator(seed: 2)
        for _ in 0..<500 {
            let long = policy.backoff(
                failure: 1, remaining: .seconds(3600), retryAfter: .seconds(30), using: &generator)
            #expect(long >= .seconds(30) && long <= .seconds(37.5))
            let short = policy.backoff(
                failure: 4, remaining: .seconds(3600), retryAfter: .seconds(1), using: &generator)
            #expect(short >= .seconds(16))
        }
    }

    @Test func retryAfterBeyondTheDeadlineLeavesTimeForOneMoreAttempt() {
        var generator = SeededGenerator(seed: 3)
        for _ in 0..<500 {
            let pause = policy.backoff(
                failure: 1, remaining: .seconds(100), retryAfter: .seconds(5000), using: &generator)
            #expect(pause >= .seconds(50) && pause <= .seconds(62.5))
        }
    }

    @Test func aBacklogStretchesThePauseUpToTenfoldAndALongerRetryAfterReplacesIt() {
        var generator = SeededGenerator(seed: 4)
        func pause(_ backlogPause: Double, retryAfter: Double? = nil, remaining: Double = 3600) -> Double {
            policy.backoff(
                failure: 1, remaining: .seconds(remaining), retryAfter: retryAfter.map(TimeSpan.seconds),
                backlogPause: .seconds(backlogPause), using: &generator
            ).seconds
        }
        func allPauses(_ range: ClosedRange<Double>, _ pause: () -> Double) -> Bool {
            (0..<500).allSatisfy { _ in range.contains(pause()) }
        }
        #expect(allPauses(2...4) { pause(1) }, "what is shorter changes nothing")
        #expect(allPauses(15...18.75) { pause(15) })
        #expect(allPauses(20...50) { pause(86_400) }, "not for hours")
        #expect(allPauses(15...18.75) { pause(15, retryAfter: 10) })
        #expect(allPauses(100...125) { pause(15, retryAfter: 100) })
        #expect(allPauses(10...12.5) { pause(86_400, remaining: 20) }, "half of what remains")
    }
}
