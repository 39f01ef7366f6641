import Basics
import Delivery
import Testing

/// Messages whose attempts end in every way there is, at random.
@Suite struct RandomWorldTests {
    @Test(arguments: 0..<300)
    func everyMessageEndsOnceAndInTime(seed: Int) {
        var generator = SeededGenerator(seed: UInt64(seed))
        let policy = RetryPolicy(maximumFailures: generator.unit() < 0.3 ? 1 + Int(generator.unit() * 5) : nil)
        var now = Instant(seconds: 1_800_000_000 * (1 + generator.unit() * 0.1))
        let deadline = now + .seconds(600 * generator.unit() * generator.unit())
        let message = InferenceMessage(
            id: "\(seed)", created: now, deadline: deadline, path: "/v1/completions", payload: [])
        var record = AttemptRecord()
        var machine = DeliveryStateMachine(message: message, record: record, policy: policy)
        var attempts = 0
        var result: InferenceResult?

        while result == nil {
            attempts += 1
            guard attempts < 20_000 else {
                Issue.record("seed \(seed): no end after \(attempts) attempts")
                return
            }
            switch machine.begin(now: now) {
            case .complete(let end):
                #expect(now >= deadline, "seed \(seed)")
                result = end
                continue
            case .offer: #expect(now < deadline, "seed \(seed)")
            }
            now = now + .seconds(0.01 + generator.unit())
            let outcome = Self.outcome(now: now, deadline: deadline, &generator)
            if outcome.isStarted { machine.dispatched(at: now) }
            switch machine.end(outcome.value, now: now, using: &generator) {
            case .complete(let end): result = end
            case .requeueNow: #expect(now < deadline, "seed \(seed)")
            case .retry(let instant):
                #expect(instant > now && instant < deadline, "seed \(seed)")
                now = instant
            }
            // Now and then the process dies, and another goes on from the record in the queue.
            if result == nil, generator.unit() < 0.2 {
                record = machine.record
                machine = DeliveryStateMachine(message: message, record: record, policy: policy)
            }
        }
        guard let result else { return }
        #expect(now < deadline + .seconds(2), "seed \(seed): an attempt is the most by which it can be late")
        #expect(result.errorCode != nil || result.statusCode != nil)
        let attemptsMade = result.attempts
        #expect(attemptsMade.failures + attemptsMade.evictions <= attemptsMade.dispatches, "seed \(seed)")
        if let limit = policy.maximumFailures { #expect(attemptsMade.failures <= limit, "seed \(seed)") }
    }

    private static func outcome(
        now: Instant, deadline: Instant, _ generator: inout SeededGenerator
    ) -> (value: AttemptOutcome, isStarted: Bool) {
        if now >= deadline, generator.unit() < 0.5 { return (.withdrawn(.deadlinePassed), generator.unit() < 0.5) }
        let draw = generator.unit()
        let retryAfter: TimeSpan? = generator.unit() < 0.2 ? .seconds(100 * generator.unit()) : nil
        switch draw {
        case ..<0.3: return (.evicted, true)
        case ..<0.5: return (.rejected(reason: "saturated", retryAfter: retryAfter), false)
        case ..<0.65: return (.failed(.connectFailed, endpoint: "a"), true)
        case ..<0.95:
            let statuses = [408, 409, 425, 429, 500, 502, 503, 504]
            let status = statuses[Int(generator.unit() * Double(statuses.count))]
            return (.answered(AttemptResponse(statusCode: status, body: [], retryAfter: retryAfter)), true)
        case ..<0.98: return (.withdrawn(.stopping), false)
        default: return (.answered(AttemptResponse(statusCode: 200, body: [])), true)
        }
    }
}
