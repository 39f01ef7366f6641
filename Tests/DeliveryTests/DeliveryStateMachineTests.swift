import Basics
import Delivery
import InferenceAPI
import Testing

private let start = Instant(seconds: 1_800_000_000)

private func message(window: TimeSpan = .seconds(3600)) -> InferenceMessage {
    InferenceMessage(
        id: "m", created: start, deadline: start + window, path: "/v1/completions", payload: [], model: "llama",
        metadata: ["job": "7"])
}

private func answer(
    _ status: Int, body: String = "{}", retryAfter: TimeSpan? = nil, dropReason: String? = nil
) -> AttemptOutcome {
    .answered(
        AttemptResponse(
            statusCode: status, body: Array(body.utf8), contentType: "application/json", retryAfter: retryAfter,
            dropReason: dropReason, endpoint: "http://a", usage: TokenUsage(promptTokens: 3, completionTokens: 5)))
}

/// Offers, dispatches and ends one attempt.
private func attempt(
    _ machine: inout DeliveryStateMachine, _ outcome: AttemptOutcome, at now: Instant = start,
    seed: UInt64 = 1
) -> DeliveryStateMachine.Disposition {
    var generator = SeededGenerator(seed: seed)
    #expect(machine.begin(now: now) == .offer)
    machine.dispatched(at: now)
    return machine.end(outcome, now: now, using: &generator)
}

private func result(_ disposition: DeliveryStateMachine.Disposition) throws -> InferenceResult {
    guard case .complete(let result) = disposition else {
        Issue.record("expected a result, not \(disposition)")
        throw CancellationError()
    }
    return result
}

@Suite struct DeliveryStateMachineTests {
    private var machine = DeliveryStateMachine(message: message(), record: AttemptRecord(), policy: RetryPolicy())

    @Test mutating func aSuccessIsTheResultWithEverythingThatIsKnown() throws {
        let result = try result(attempt(&machine, answer(200, body: "hello")))
        #expect(result.id == "m")
        #expect(result.statusCode == 200)
        #expect(result.payload == Array("hello".utf8))
        #expect(result.contentType == "application/json")
        #expect(result.errorCode == nil && result.isSuccess)
        #expect(result.endpoint == "http://a" && result.model == "llama" && result.path == "/v1/completions")
        #expect(result.usage == TokenUsage(promptTokens: 3, completionTokens: 5))
        #expect(result.attempts.dispatches == 1 && result.attempts.firstDispatched == start)
        #expect(result.metadata == ["job": "7"])
    }

    @Test(
        arguments: [
            (200, nil, StatusVerdict.final), (302, nil, .final), (400, nil, .final), (401, nil, .final),
            (404, nil, .final),
            (413, nil, .final), (422, nil, .final), (408, nil, .retry), (409, nil, .retry), (425, nil, .retry),
            (429, nil, .shed), (429, "rejected-saturated", .shed), (500, nil, .retry), (502, nil, .retry),
            (503, nil, .retry), (503, "evicted", .shed), (504, nil, .retry), (529, nil, .retry),
        ] as [(Int, String?, StatusVerdict)])
    func statusesAreJudged(status: Int, dropReason: String?, verdict: StatusVerdict) throws {
        #expect(StatusVerdict(statusCode: status, dropReason: dropReason) == verdict)
        var machine = machine
        let disposition = attempt(&machine, answer(status, dropReason: dropReason))
        guard verdict != .final else {
            let result = try result(disposition)
            #expect(result.statusCode == status && result.errorCode == nil)
            #expect(result.isSuccess == (status < 400))
            return
        }
        guard case .retry(let instant) = disposition else {
            Issue.record("expected a retry, not \(disposition)")
            return
        }
        #expect(instant >= start + .seconds(2) && instant <= start + .seconds(4))
        #expect(machine.record.sheds == (verdict == .shed ? 1 : 0))
        #expect(machine.record.failures == (verdict == .retry ? 1 : 0))
    }

    @Test(arguments: TransportFailure.allCases.filter { $0 != .answerTooLong })
    func transportFailuresAreRetriedWhileTheDeadlineAllows(failure: TransportFailure) throws {
        var machine = machine
        let early = attempt(&machine, .failed(failure, endpoint: "http://a"))
        guard case .retry = early else {
            Issue.record("expected a retry, not \(early)")
            return
        }
        let late = try result(
            attempt(&machine, .failed(failure, endpoint: nil), at: start + .seconds(3599.5)))
        #expect(late.errorCode == .deadlineExceeded)
        #expect(late.errorMessage?.contains(failure.rawValue) == true)
        #expect(late.attempts.failures == 2)
    }

    @Test mutating func anEvictionGoesBackAtOnceAndCountsAsNoFailure() {
        #expect(attempt(&machine, .evicted) == .requeueNow)
        #expect(attempt(&machine, .evicted) == .requeueNow)
        #expect(machine.record.evictions == 2 && machine.record.failures == 0)
        // The backoff of a later failure is that of the first.
        guard case .retry(let instant) = attempt(&machine, answer(500)) else {
            Issue.record("expected a retry")
            return
        }
        #expect(instant <= start + .seconds(4))
    }

    @Test mutating func aRejectionPausesBrieflyHoweverOftenItHappens() {
        for seed in 0..<50 {
            var generator = SeededGenerator(seed: UInt64(seed))
            #expect(machine.begin(now: start) == .offer)
            let disposition = machine.end(
                .rejected(reason: "queue full", retryAfter: nil), now: start, using: &generator)
            guard case .retry(let instant) = disposition else {
                Issue.record("expected a retry, not \(disposition)")
                return
            }
            #expect(instant >= start + .seconds(0.5) && instant <= start + .seconds(1))
        }
        #expect(machine.record.dispatches == 0 && machine.record.sheds == 50 && machine.record.failures == 0)
    }

    @Test mutating func aMessagePastItsDeadlineIsNeverOffered() throws {
        guard case .complete(let result) = machine.begin(now: start + .seconds(3600)) else {
            Issue.record("expected a result")
            return
        }
        #expect(result.errorCode == .deadlineExceeded && result.statusCode == nil && result.payload == nil)
        #expect(result.errorMessage == "the deadline passed before the request could be started")
    }

    @Test mutating func theLastAnswerBeforeTheDeadlineIsPartOfTheResult() throws {
        let result = try result(attempt(&machine, answer(503, body: "busy"), at: start + .seconds(3599.5)))
        #expect(result.errorCode == .deadlineExceeded)
        #expect(result.statusCode == 503 && result.payload == Array("busy".utf8))
        #expect(!result.isSuccess)
    }

    @Test mutating func anAnswerThatArrivesAfterTheDeadlineIsStillDelivered() throws {
        var generator = SeededGenerator(seed: 1)
        #expect(machine.begin(now: start) == .offer)
        machine.dispatched(at: start)
        let disposition = machine.end(answer(200), now: start + .seconds(4000), using: &generator)
        #expect(try result(disposition).isSuccess)
    }

    @Test mutating func aStopHandsTheMessageBackAndADeadlineEndsIt() throws {
        #expect(attempt(&machine, .withdrawn(.stopping)) == .requeueNow)
        #expect(try result(attempt(&machine, .withdrawn(.deadlinePassed))).errorCode == .deadlineExceeded)
    }

    @Test func aLimitOnFailuresEndsAMessageEarly() throws {
        var policy = RetryPolicy()
        policy.maximumFailures = 2
        var machine = DeliveryStateMachine(message: message(), record: AttemptRecord(), policy: policy)
        _ = attempt(&machine, answer(429))
        _ = attempt(&machine, answer(500))
        let result = try result(attempt(&machine, answer(502, body: "no")))
        #expect(result.errorCode == .inferenceError && result.statusCode == 502)
        #expect(result.errorMessage == "gave up after 2 failures, the last: status 502")
    }

    @Test func anAnswerTooLongToBeKeptEndsAMessageAtOnce() throws {
        var machine = DeliveryStateMachine(message: message(), record: AttemptRecord(), policy: RetryPolicy())
        let result = try result(attempt(&machine, .failed(.answerTooLong, endpoint: nil)))
        #expect(result.errorCode == .inferenceError && result.payload == nil)
    }

    @Test func theRecordOfEarlierLeasesCounts() {
        var record = AttemptRecord()
        record.failures = 3
        record.dispatches = 3
        record.firstDispatched = start - .seconds(60)
        var machine = DeliveryStateMachine(message: message(), record: record, policy: RetryPolicy())
        guard case .retry(let instant) = attempt(&machine, answer(500)) else {
            Issue.record("expected a retry")
            return
        }
        #expect(instant >= start + .seconds(16) && instant <= start + .seconds(32))
        #expect(machine.record.firstDispatched == start - .seconds(60) && machine.record.dispatches == 4)
    }

    @Test func theDigestTellsRequestsApart() {
        var other = message()
        other.deadline = other.deadline + .seconds(1)
        other.metadata = ["trace": "x"]
        #expect(other.contentDigest == message().contentDigest)
        other.payload = [1]
        #expect(other.contentDigest != message().contentDigest)
        other = message()
        other.path += "x"
        #expect(other.contentDigest != message().contentDigest)
    }
}
