public import Basics

/// The life of one message in the hands of a processor: decides what each attempt's outcome leads to.
///
/// A message is offered (`begin`), perhaps given to an endpoint (`dispatched`), and its attempt ends (`end`); that repeats
/// until an answer is final or the deadline passes. Exactly one `.complete` leaves a machine.
public struct DeliveryStateMachine: Sendable {
    /// What to do with a message that has been taken from the queue.
    public enum Beginning: Hashable, Sendable {
        /// Offer it to the pool.
        case offer
        /// It is over already: record this.
        case complete(InferenceResult)
    }

    /// What to do with a message after an attempt.
    public enum Disposition: Hashable, Sendable {
        /// It is over: record this.
        case complete(InferenceResult)
        /// Hand it back to the queue until then.
        case retry(at: Instant)
        /// Put it back at its place at the head, without delay.
        case requeueNow
    }

    private enum State: Hashable { case waiting, offered, finished }

    /// The message.
    public let message: InferenceMessage
    /// What has happened to it, this attempt included.
    public private(set) var record: AttemptRecord
    private let policy: RetryPolicy
    private var state = State.waiting

    /// Takes charge of a message with the record it came with.
    public init(message: InferenceMessage, record: AttemptRecord, policy: RetryPolicy) {
        self.message = message
        self.record = record
        self.policy = policy
    }

    /// Starts an attempt, unless the deadline has passed.
    public mutating func begin(now: Instant) -> Beginning {
        precondition(state == .waiting, "an attempt begins only while the message waits, not when \(state)")
        guard now < message.deadline else { return .complete(expired(now: now)) }
        state = .offered
        return .offer
    }

    /// Notes that an endpoint has been given the request.
    public mutating func dispatched(at instant: Instant) {
        precondition(state == .offered, "only an offered message is dispatched, not one that is \(state)")
        record.dispatches += 1
        record.firstDispatched = record.firstDispatched ?? instant
    }

    /// Ends the attempt.
    public mutating func end(
        _ outcome: AttemptOutcome, now: Instant, using generator: inout SeededGenerator
    ) -> Disposition {
        precondition(state == .offered, "only an offered attempt ends, not one that is \(state)")
        state = .waiting
        switch outcome {
        case .answered(let response): return judge(response, now: now, using: &generator)
        case .failed(let failure, let endpoint):
            record.failures += 1
            record.lastEndpoint = endpoint ?? record.lastEndpoint
            record.lastError = endpoint.map { "\(failure.rawValue) (\($0))" } ?? failure.rawValue
            if failure == .answerTooLong { return .complete(failed("the answer is too long to be kept", now: now)) }
            return retry(after: nil, response: nil, now: now, using: &generator)
        case .rejected(let reason, let retryAfter):
            record.sheds += 1
            record.lastError = "not admitted: \(reason)"
            let remaining = message.deadline - now
            guard remaining > policy.minimumRemaining else { return .complete(expired(now: now)) }
            return .retry(
                at: now
                    + policy.pauseAfterRejection(remaining: remaining, retryAfter: retryAfter, using: &generator))
        case .evicted:
            record.evictions += 1
            return requeue(now: now)
        case .withdrawn(.stopping): return requeue(now: now)
        case .withdrawn(.deadlinePassed): return .complete(expired(now: now))
        }
    }

    private mutating func requeue(now: Instant) -> Disposition {
        now < message.deadline ? .requeueNow : .complete(expired(now: now))
    }

    private mutating func judge(
        _ response: AttemptResponse, now: Instant, using generator: inout SeededGenerator
    ) -> Disposition {
        record.lastStatusCode = response.statusCode
        record.lastEndpoint = response.endpoint ?? record.lastEndpoint
        switch StatusVerdict(statusCode: response.statusCode, dropReason: response.dropReason) {
        case .final:
            record.lastError = nil
            return .complete(finish(with: response, now: now))
        case .shed: record.sheds += 1
        case .retry: record.failures += 1
        }
        record.lastError = "status \(response.statusCode)" + (response.dropReason.map { ", \($0)" } ?? "")
        return retry(after: response.retryAfter, response: response, now: now, using: &generator)
    }

    private mutating func retry(
        after retryAfter: TimeSpan?, response: AttemptResponse?, now: Instant,
        using generator: inout SeededGenerator
    ) -> Disposition {
        let remaining = message.deadline - now
        guard remaining > policy.minimumRemaining else {
            return .complete(expired(with: response, now: now))
        }
        if let limit = policy.maximumFailures, record.failures >= limit {
            let reason = "gave up after \(record.failures) failures, the last: \(record.lastError ?? "unknown")"
            return .complete(failed(reason, with: response, now: now))
        }
        let pause = policy.backoff(
            setback: record.failures + record.sheds, remaining: remaining, retryAfter: retryAfter, using: &generator)
        return .retry(at: now + pause)
    }

    private mutating func failed(
        _ reason: String, with response: AttemptResponse? = nil, now: Instant
    ) -> InferenceResult {
        var result = finish(with: response, now: now)
        result.errorCode = .inferenceError
        result.errorMessage = reason
        return result
    }

    private mutating func expired(with response: AttemptResponse? = nil, now: Instant) -> InferenceResult {
        var result = finish(with: response, now: now)
        result.errorCode = .deadlineExceeded
        result.errorMessage =
            record.lastError.map { "no final answer before the deadline; the last attempt: \($0)" }
            ?? (record.dispatches == 0
                ? "the deadline passed before the request could be started"
                : "no final answer before the deadline")
        return result
    }

    private mutating func finish(with response: AttemptResponse?, now: Instant) -> InferenceResult {
        state = .finished
        var result = InferenceResult(for: message, attempts: record, finished: now)
        guard let response else { return result }
        result.payload = response.body
        result.contentType = response.contentType
        result.usage = response.usage
        return result
    }
}
