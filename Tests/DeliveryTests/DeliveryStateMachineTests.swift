import Basics
import Delivery
import InferenceAPI
import Testing

/// Offers, dispatches and ends one attempt.
private func attempt(
    _ machine: inout DeliveryStateMachine, _ outcome: AttemptOutcome,
    withdrawal: DeliveryStateMachine.Withdrawal? = nil, backlogPause: TimeSpan = .zero, at now: Instant = epoch,
    seed: UInt64 = 1
) -> DeliveryStateMachine.Disposition {
    var generator = SeededGenerator(seed: seed)
    #expect(machine.begin(serviceTime: .zero, now: now) == .offer)
    machine.dispatched(at: now)
    return machine.end(outcome, withdrawal: withdrawal, backlogPause: backlogPause, now: now, using: &generator)
}

private func result(_ disposition: DeliveryStateMachine.Disposition) throws -> InferenceResult {
    guard case .complete(let result) = disposition else {
        Issue.record("expected a result, not \(disposition)")
        throw CancellationError()
    }
    return result
}

private func machine(
    _ leased: LeasedMessage = leased(), policy: RetryPolicy = RetryPolicy()
) -> DeliveryStateMachine {
    DeliveryStateMachine(leased, queue: "nightly", policy: policy)
}

@Suite struct DeliveryStateMachineTests {
    private var machine = DeliveryTests.machine()

    @Test mutating func aSuccessIsTheResultWithEverythingThatIsKnown() throws {
        let result = try result(attempt(&machine, answer(200, body: "hello")))
        #expect(result.id == "m" && result.generation == "g1" && result.queue == "nightly" && result.tenant == "team")
        #expect(result.statusCode == 200)
        #expect(result.payload == Array("hello".utf8))
        #expect(result.contentType == "application/json")
        #expect(result.errorCode == nil && result.isSuccess && !result.isDeadLetter)
        #expect(result.endpoint == "http://a" && result.model == "llama" && result.path == "/v1/completions")
        #expect(result.usage == TokenUsage(promptTokens: 3, completionTokens: 5))
        #expect(result.attempts.dispatches == 1 && result.attempts.firstDispatched == epoch)
        #expect(result.created == epoch && result.enqueued == epoch + .seconds(1) && result.finished == epoch)
        #expect(result.metadata == ["job": "7"])
    }

    @Test(
        arguments: [
            (200, nil, AnswerVerdict.final), (302, nil, .final), (400, nil, .final), (401, nil, .final),
            (404, nil, .final), (413, nil, .final), (422, nil, .final), (400, "evicted", .final),
            (408, nil, .retry), (409, nil, .retry), (425, nil, .retry),
            (429, nil, .capacity), (429, "anything", .capacity),
            (500, nil, .retry), (502, nil, .retry), (503, nil, .retry), (504, nil, .retry), (529, nil, .retry),
            (503, "of a newer router", .capacity), (500, "evicted", .retry),
        ] as [(Int, String?, AnswerVerdict)])
    func statusesAreJudged(status: Int, dropReason: String?, verdict: AnswerVerdict) throws {
        #expect(AnswerVerdict(statusCode: status, dropReason: dropReason) == verdict)
        try expectFollows(verdict, from: answer(status, dropReason: dropReason), status: status)
    }

    @Test(arguments: DropReason.allCases, [429, 503])
    func everyDropReasonIsJudged(reason: DropReason, status: Int) throws {
        let verdict: AnswerVerdict =
            switch reason {
            case .noEndpoints: .unavailable
            case .shuttingDown: .retry
            case .saturated, .ttlExpired, .contextCancelled, .evicted, .evictedQueuePressure, .evictedPriority:
                .capacity
            }
        #expect(AnswerVerdict(statusCode: status, dropReason: reason.rawValue) == verdict)
        try expectFollows(verdict, from: answer(status, dropReason: reason.rawValue), status: status)
    }

    private func expectFollows(_ verdict: AnswerVerdict, from outcome: AttemptOutcome, status: Int) throws {
        var machine = machine
        let disposition = attempt(&machine, outcome)
        #expect(machine.record.lastStatusCode == status)
        switch verdict {
        case .final:
            let result = try result(disposition)
            #expect(result.statusCode == status && result.errorCode == nil)
            #expect(result.isSuccess == (status < 400))
        case .retry:
            guard case .release(let instant) = disposition else {
                Issue.record("expected a retry, not \(disposition)")
                return
            }
            #expect(instant >= epoch + .seconds(2) && instant <= epoch + .seconds(4))
        case .capacity: #expect(disposition == .awaitCapacity(retryAfter: nil))
        case .unavailable: #expect(disposition == .handBack)
        }
        #expect(machine.record.sheds == (verdict == .capacity || verdict == .unavailable ? 1 : 0))
        #expect(machine.record.failures == (verdict == .retry ? 1 : 0))
    }

    @Test(arguments: TransportFailure.allCases.filter { $0 != .answerTooLong })
    func transportFailuresAreRetriedWhileTheDeadlineAllows(failure: TransportFailure) throws {
        var machine = machine
        let early = attempt(&machine, .failed(failure, endpoint: "http://a"))
        guard case .release(let instant) = early else {
            Issue.record("expected a retry, not \(early)")
            return
        }
        #expect(instant >= epoch + .seconds(2) && instant <= epoch + .seconds(4))
        let late = try result(
            attempt(&machine, .failed(failure, endpoint: nil), at: epoch + .seconds(3599.5)))
        #expect(late.errorCode == .deadlineExceeded)
        #expect(late.errorMessage?.contains(failure.rawValue) == true)
        #expect(late.attempts.failures == 2 && late.endpoint == "http://a")
    }

    @Test mutating func anEvictionIsOfferedAgainAtOnceAndCountsAsNoFailure() throws {
        #expect(attempt(&machine, .evicted) == .offerAgain)
        #expect(attempt(&machine, .evicted) == .offerAgain)
        #expect(machine.record.evictions == 2 && machine.record.failures == 0)
        // The backoff of a later failure is that of the first.
        guard case .release(let instant) = attempt(&machine, answer(500)) else {
            Issue.record("expected a retry")
            return
        }
        #expect(instant <= epoch + .seconds(4))
        var generator = SeededGenerator(seed: 1)
        #expect(machine.begin(serviceTime: .zero, now: epoch) == .offer)
        let late = machine.end(.evicted, withdrawal: nil, now: epoch + .seconds(3600), using: &generator)
        #expect(try result(late).errorCode == .deadlineExceeded)
    }

    @Test func aRefusalForLackOfRoomWaitsForRoomHoweverOftenItHappens() throws {
        var machine = DeliveryTests.machine(policy: RetryPolicy(maximumFailures: 1))
        var generator = SeededGenerator(seed: 1)
        for _ in 0..<50 {
            #expect(machine.begin(serviceTime: .zero, now: epoch) == .offer)
            let disposition = machine.end(
                .rejected(.capacity, reason: "queue full", retryAfter: .seconds(3)), withdrawal: nil, now: epoch,
                using: &generator)
            #expect(disposition == .awaitCapacity(retryAfter: .seconds(3)))
        }
        #expect(machine.record.dispatches == 0 && machine.record.sheds == 50 && machine.record.failures == 0)
        #expect(attempt(&machine, answer(429, retryAfter: .seconds(7))) == .awaitCapacity(retryAfter: .seconds(7)))
        let late = try result(attempt(&machine, noRoom, at: epoch + .seconds(3599.5)))
        #expect(late.errorCode == .deadlineExceeded && late.errorMessage?.contains("queue full") == true)
    }

    @Test mutating func whatNobodyServesOrAGatewayThatStopsGivesBackIsFreeForOthersAtOnce() {
        let nobody = AttemptOutcome.rejected(.unavailable, reason: "no endpoint", retryAfter: .seconds(60))
        #expect(attempt(&machine, nobody) == .handBack)
        #expect(attempt(&machine, .rejected(.stopping, reason: "going away", retryAfter: nil)) == .handBack)
        #expect(machine.record.sheds == 1 && machine.record.failures == 0)
    }

    @Test func aMessageThatAGatePutsOffComesBackLaterAndHasNotFailed() throws {
        var machine = DeliveryTests.machine(policy: RetryPolicy(maximumFailures: 1))
        for _ in 0..<5 {
            let disposition = attempt(
                &machine, .rejected(.postponed, reason: "quota of team a is used up", retryAfter: .seconds(3)))
            guard case .postpone(let readyAt) = disposition else {
                Issue.record("expected to be put off, not \(disposition)")
                return
            }
            #expect(readyAt >= epoch + .seconds(3) && readyAt < epoch + .seconds(4))
        }
        #expect(machine.record.failures == 0)
    }

    @Test func aMessageIsNotPutOffBeyondItsDeadline() {
        var machine = DeliveryTests.machine(leased(message(window: .seconds(10))))
        let disposition = attempt(&machine, .rejected(.postponed, reason: "quota", retryAfter: .seconds(300)))
        #expect(disposition == .postpone(until: epoch + .seconds(9)))
    }

    @Test mutating func aMessageThatAGateDropsEndsWithItsReason() throws {
        let result = try result(attempt(&machine, .dropped(reason: "saturated")))
        #expect(result.errorCode == .gateDropped && result.statusCode == nil && !result.isSuccess)
        #expect(result.errorMessage?.contains("saturated") == true)
    }

    @Test mutating func aMessagePastItsDeadlineIsNeverOffered() throws {
        guard case .complete(let result) = machine.begin(serviceTime: .zero, now: epoch + .seconds(3600)) else {
            Issue.record("expected a result")
            return
        }
        #expect(result.errorCode == .deadlineExceeded && result.statusCode == nil && result.payload == nil)
        #expect(result.errorMessage == "the deadline passed before the request could be started")
    }

    @Test mutating func aMessageWithTooLittleTimeLeftIsNeverOffered() throws {
        #expect(!machine.isHopeless(serviceTime: .seconds(60), now: epoch + .seconds(3539.999)))
        #expect(machine.isHopeless(serviceTime: .seconds(60), now: epoch + .seconds(3540)))
        guard case .complete(let result) = machine.begin(serviceTime: .seconds(60), now: epoch + .seconds(3550)) else {
            Issue.record("expected a result")
            return
        }
        #expect(result.errorCode == .deadlineExceeded && result.finished == epoch + .seconds(3550))
        #expect(result.errorMessage == "too little time was left before the deadline for the request to be answered")
    }

    @Test mutating func theLastAnswerBeforeTheDeadlineIsPartOfTheResult() throws {
        let result = try result(attempt(&machine, answer(503, body: "busy"), at: epoch + .seconds(3599.5)))
        #expect(result.errorCode == .deadlineExceeded)
        #expect(result.statusCode == 503 && result.payload == Array("busy".utf8))
        #expect(!result.isSuccess && !result.isDeadLetter)
    }

    @Test mutating func anAnswerThatArrivesAfterTheDeadlineIsStillDelivered() throws {
        var generator = SeededGenerator(seed: 1)
        #expect(machine.begin(serviceTime: .zero, now: epoch) == .offer)
        machine.dispatched(at: epoch)
        let disposition = machine.end(
            answer(200), withdrawal: .deadlinePassed, now: epoch + .seconds(4000), using: &generator)
        #expect(try result(disposition).isSuccess)
    }

    @Test(
        arguments: [.deadlinePassed, .cancelled, .handingBack, .attemptTimedOut]
            as [DeliveryStateMachine.Withdrawal])
    func anAnswerThatIsFinalCountsAlthoughTheAttemptWasToBeTakenBack(
        withdrawal: DeliveryStateMachine.Withdrawal
    ) throws {
        var machine = machine
        let result = try result(attempt(&machine, answer(404), withdrawal: withdrawal))
        #expect(result.statusCode == 404 && result.errorCode == nil)
    }

    @Test(
        arguments: [
            .withdrawn, .evicted, noRoom, refusedConnection, answer(503), answer(429),
            .rejected(.unavailable, reason: "no endpoint", retryAfter: nil),
        ] as [AttemptOutcome])
    func aWithdrawalIsWhatCountsWhenTheAttemptBroughtNothingFinal(outcome: AttemptOutcome) throws {
        var machine = machine
        #expect(attempt(&machine, outcome, withdrawal: .handingBack) == .handBack)
        var cancelled = machine
        let cancellation = try result(attempt(&cancelled, outcome, withdrawal: .cancelled))
        #expect(cancellation.errorCode == .cancelled && cancellation.errorMessage == "cancelled by its owner")
        var overdue = machine
        let expiry = try result(attempt(&overdue, outcome, withdrawal: .deadlinePassed))
        #expect(expiry.errorCode == .deadlineExceeded)
        var generator = SeededGenerator(seed: 1)
        #expect(machine.begin(serviceTime: .zero, now: epoch) == .offer)
        let late = machine.end(
            outcome, withdrawal: .handingBack, now: epoch + .seconds(3600), using: &generator)
        #expect(try result(late).errorCode == .deadlineExceeded, "what is over is not given back")
    }

    @Test mutating func anAttemptThatTakesTooLongIsAFailure() throws {
        guard case .release(let instant) = attempt(&machine, .withdrawn, withdrawal: .attemptTimedOut) else {
            Issue.record("expected a retry")
            return
        }
        #expect(instant >= epoch + .seconds(2) && instant <= epoch + .seconds(4))
        #expect(machine.record.failures == 1)
        let late = try result(
            attempt(&machine, .withdrawn, withdrawal: .attemptTimedOut, at: epoch + .seconds(3599.5)))
        #expect(late.errorMessage?.hasSuffix("no answer within the time of one attempt") == true)
    }

    @Test mutating func aMessageThatWaitsCanBeCancelled() {
        _ = attempt(&machine, answer(500))
        let result = machine.cancel(now: epoch + .seconds(9))
        #expect(result.errorCode == .cancelled && result.finished == epoch + .seconds(9))
        #expect(result.statusCode == 500 && result.payload == nil && result.attempts.dispatches == 1)
    }

    @Test func aLimitOnFailuresMakesADeadLetter() throws {
        var machine = DeliveryTests.machine(policy: RetryPolicy(maximumFailures: 2))
        _ = attempt(&machine, answer(429))
        _ = attempt(&machine, answer(500))
        let result = try result(attempt(&machine, answer(502, body: "no")))
        #expect(result.errorCode == .inferenceError && result.statusCode == 502 && result.isDeadLetter)
        #expect(result.payload == Array("no".utf8))
        #expect(result.errorMessage == "gave up after 2 failures, the last: status 502")
    }

    @Test func anAnswerTooLongToBeKeptMakesADeadLetterAtOnce() throws {
        var machine = machine
        let result = try result(attempt(&machine, .failed(.answerTooLong, endpoint: nil)))
        #expect(result.errorCode == .inferenceError && result.payload == nil && result.isDeadLetter)
    }

    @Test func theRecordOfEarlierLeasesCounts() {
        var record = AttemptRecord()
        record.failures = 3
        record.dispatches = 3
        record.firstDispatched = epoch - .seconds(60)
        var machine = DeliveryTests.machine(leased(attempts: record))
        guard case .release(let instant) = attempt(&machine, answer(500)) else {
            Issue.record("expected a retry")
            return
        }
        #expect(instant >= epoch + .seconds(16) && instant <= epoch + .seconds(32))
        #expect(machine.record.firstDispatched == epoch - .seconds(60) && machine.record.dispatches == 4)
    }

    @Test mutating func aBacklogLengthensThePauseBeforeARetry() {
        guard case .release(let instant) = attempt(&machine, answer(500), backlogPause: .seconds(15)) else {
            Issue.record("expected a retry")
            return
        }
        #expect(instant >= epoch + .seconds(15) && instant <= epoch + .seconds(18.75))
    }

    @Test(
        arguments: [
            ("{}", nil), (#"{"max_tokens":64}"#, 64), (#"{"prompt":"a","max_completion_tokens":7}"#, 7),
            ("no JSON", nil),
        ] as [(String, Int?)])
    func theOutputLimitIsReadFromTheBody(body: String, limit: Int?) {
        #expect(DeliveryTests.machine(leased(message(body: body))).outputTokenLimit == limit)
    }

    @Test func theDigestTellsRequestsApart() {
        var other = message()
        other.deadline = other.deadline + .seconds(1)
        other.metadata = ["trace": "x"]
        other.tenant = "other"
        other.priority = 3
        #expect(other.contentDigest == message().contentDigest)
        other.payload = [1]
        #expect(other.contentDigest != message().contentDigest)
        other = message()
        other.path += "x"
        #expect(other.contentDigest != message().contentDigest)
    }
}
