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
        var machine = DeliveryStateMachine(leased(message), queue: "", policy: policy)
        var attempts = 0
        var isCancelled = false
        var result: InferenceResult?

        while result == nil {
            attempts += 1
            guard attempts < 20_000 else {
                Issue.record("seed \(seed): no end after \(attempts) attempts")
                return
            }
            let serviceTime: TimeSpan = generator.unit() < 0.1 ? .seconds(5 * generator.unit()) : .zero
            switch machine.begin(serviceTime: serviceTime, now: now) {
            case .complete(let end):
                #expect(now + serviceTime >= deadline, "seed \(seed)")
                result = end
                continue
            case .offer: #expect(now + serviceTime <= deadline && now < deadline, "seed \(seed)")
            }
            now = now + .seconds(0.01 + generator.unit())
            let end = Self.end(now: now, deadline: deadline, &generator)
            if end.isStarted { machine.dispatched(at: now) }
            isCancelled = end.withdrawal == .cancelled
            switch machine.end(end.outcome, withdrawal: end.withdrawal, now: now, using: &generator) {
            case .complete(let end): result = end
            case .offerAgain, .handBack: #expect(now < deadline, "seed \(seed)")
            case .awaitCapacity:
                #expect(deadline - now > policy.minimumRemaining, "seed \(seed)")
                now = now + .seconds(generator.unit())
            case .release(let instant), .postpone(let instant):
                #expect(instant > now && instant < deadline, "seed \(seed)")
                now = instant
            }
            #expect(result != nil || !isCancelled, "seed \(seed): a cancelled message goes on")
            // Now and then the process dies, and another goes on from the record in the queue.
            if result == nil, generator.unit() < 0.2 {
                machine = DeliveryStateMachine(
                    leased(message, attempts: machine.record), queue: "", policy: policy)
            }
        }
        guard let result else { return }
        #expect(now < deadline + .seconds(2), "seed \(seed): an attempt is the most by which it can be late")
        #expect(result.errorCode != nil || result.statusCode != nil)
        #expect(result.errorCode != .cancelled || isCancelled, "seed \(seed)")
        let attemptsMade = result.attempts
        #expect(attemptsMade.failures + attemptsMade.evictions <= attemptsMade.dispatches, "seed \(seed)")
        if let limit = policy.maximumFailures { #expect(attemptsMade.failures <= limit, "seed \(seed)") }
        #expect(result.isDeadLetter == (result.errorCode == .inferenceError), "seed \(seed)")
    }

    private static func end(
        now: Instant, deadline: Instant, _ generator: inout SeededGenerator
    ) -> (outcome: AttemptOutcome, withdrawal: DeliveryStateMachine.Withdrawal?, isStarted: Bool) {
        var withdrawal: DeliveryStateMachine.Withdrawal?
        if now >= deadline, generator.unit() < 0.5 {
            withdrawal = .deadlinePassed
        } else if generator.unit() < 0.05 {
            withdrawal = [.cancelled, .handingBack, .attemptTimedOut][Int(generator.unit() * 3)]
        }
        // A request that is taken back may have ended by itself before the word reached it.
        if let withdrawal, generator.unit() < 0.7 {
            return (.withdrawn, withdrawal, withdrawal == .attemptTimedOut || generator.unit() < 0.5)
        }
        let retryAfter: TimeSpan? = generator.unit() < 0.2 ? .seconds(100 * generator.unit()) : nil
        switch generator.unit() {
        case ..<0.3: return (.evicted, withdrawal, true)
        case ..<0.4: return (.rejected(.capacity, reason: "saturated", retryAfter: retryAfter), withdrawal, false)
        case ..<0.45: return (.rejected(.unavailable, reason: "nobody", retryAfter: retryAfter), withdrawal, false)
        case ..<0.5: return (.rejected(.stopping, reason: "stopping", retryAfter: nil), withdrawal, false)
        case ..<0.65: return (.failed(.connectFailed, endpoint: "a"), withdrawal, true)
        case ..<0.95:
            let statuses = [408, 409, 425, 429, 500, 502, 503, 504]
            let status = statuses[Int(generator.unit() * Double(statuses.count))]
            let response = AttemptResponse(statusCode: status, body: [], retryAfter: retryAfter)
            return (.answered(response), withdrawal, true)
        case ..<0.98: return (.withdrawn, withdrawal, false)
        default: return (.answered(AttemptResponse(statusCode: 200, body: [])), withdrawal, true)
        }
    }
}
