import Basics
import Delivery
import Testing

@Suite struct RetryPolicyTests {
    private let policy = RetryPolicy()

    @Test(arguments: [(1, 4.0), (2, 8), (3, 16), (4, 32), (5, 60), (6, 60), (1000, 60)])
    func backoffDoublesUpToTheCapWithEqualJitter(setback: Int, bound: Double) {
        var generator = SeededGenerator(seed: 7)
        let pauses = (0..<1000).map { _ in
            policy.backoff(
                setback: setback, remaining: .seconds(86_400), retryAfter: nil, using: &generator
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
            let setback = Int(generator.unit() * 12)
            let pause = policy.backoff(
                setback: setback, remaining: remaining, retryAfter: retryAfter, using: &generator)
            #expect(pause <= remaining)
            #expect(pause > .zero)
        }
    }

    @Test func retryAfterLengthensThePauseAndNeverShortensIt() {
        var generator = SeededGenerator(seed: 2)
        for _ in 0..<500 {
            let long = policy.backoff(
                setback: 1, remaining: .seconds(3600), retryAfter: .seconds(30), using: &generator)
            #expect(long >= .seconds(30) && long <= .seconds(37.5))
            let short = policy.backoff(
                setback: 4, remaining: .seconds(3600), retryAfter: .seconds(1), using: &generator)
            #expect(short >= .seconds(16))
        }
    }

    @Test func retryAfterBeyondTheDeadlineLeavesTimeForOneMoreAttempt() {
        var generator = SeededGenerator(seed: 3)
        for _ in 0..<500 {
            let pause = policy.backoff(
                setback: 1, remaining: .seconds(100), retryAfter: .seconds(5000), using: &generator)
            #expect(pause >= .seconds(50) && pause <= .seconds(62.5))
        }
    }
}
