public import Basics
import InferenceAPI

/// The life of one message in the hands of a consumer: decides what each attempt's outcome leads to.
///
/// A message is offered (`begin`), perhaps given to an endpoint (`dispatched`), and its attempt ends (`end`); that repeats
/// until an answer is final, the deadline passes, or somebody takes the message back. Exactly one result leaves a machine.
public struct DeliveryStateMachine: Sendable {
    /// What to do with a message whose turn has come.
    public enum Beginning: Hashable, Sendable {
        /// Offer it to the pool.
        case offer
        /// It is over already: record this.
        case complete(InferenceResult)
    }

    /// Why an attempt was taken back.
    public enum Withdrawal: Hashable, Sendable {
        /// The deadline passed, or what remains is too short.
        case deadlinePassed
        /// The attempt took longer than one attempt may.
        case attemptTimedOut
        /// Somebody asked to cancel the message.
        case cancelled
        /// The consumer is stopping, or does not hold the message any more.
        case handingBack

        /// Of two reasons the one with the higher rank decides: what ends a message outranks what only ends an attempt, and
        /// its owner's word comes first.
        var rank: Int {
            switch self {
            case .attemptTimedOut: 0
            case .handingBack: 1
            case .deadlinePassed: 2
            case .cancelled: 3
            }
        }
    }

    /// What to do with a message after an attempt.
    public enum Disposition: Hashable, Sendable {
        /// It is over: record this.
        case complete(InferenceResult)
        /// Give it back to the queue until then (calendar time).
        case release(readyAt: Instant)
        /// The same, for a message that was put off and has not failed.
        case postpone(until: Instant)
        /// Offer it again, ahead of everything that the queue still holds.
        case offerAgain
        /// Offer it again when its target has room.
        case awaitCapacity(retryAfter: TimeSpan?)
        /// Give it back to the queue; it can be taken at once.
        case handBack
    }

    private enum State: Hashable { case waiting, offered, finished }

    /// The message with the right to it.
    public let leased: LeasedMessage
    /// What has happened to it, this attempt included.
    public private(set) var record: AttemptRecord
    private let queue: String
    private let policy: RetryPolicy
    private var state = State.waiting

    /// Takes charge of a message with the record it came with.
    public init(_ leased: LeasedMessage, queue: String, policy: RetryPolicy) {
        self.leased = leased
        self.queue = queue
        self.policy = policy
        record = leased.attempts
    }

    /// The message.
    public var message: InferenceMessage { leased.message }

    /// The most tokens that the message lets the model generate, as its body says.
    public var outputTokenLimit: Int? {
        var scanner = RequestBodyScanner()
        message.payload.withUnsafeBytes { scanner.consume($0) }
        scanner.finish()
        return scanner.facts.maxOutputTokens
    }

    /// Whether no time is left for an attempt that takes `serviceTime`.
    public func isHopeless(serviceTime: TimeSpan, now: Instant) -> Bool {
        message.deadline - now <= serviceTime
    }

    /// Starts an attempt, unless the deadline has passed or is closer than `serviceTime`.
    public mutating func begin(serviceTime: TimeSpan, now: Instant) -> Beginning {
        precondition(state == .waiting, "an attempt begins only while the message waits, not when \(state)")
        guard !isHopeless(serviceTime: serviceTime, now: now) else { return .complete(expired(now: now)) }
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
    ///
    /// - Parameters:
    ///   - withdrawal: why it was to be taken back, if it was; an answer that came first counts all the same.
    ///   - backlogPause: see `RetryPolicy.backoff`.
    public mutating func end(
        _ outcome: AttemptOutcome, withdrawal: Withdrawal?, backlogPause: TimeSpan = .zero, now: Instant,
        using generator: inout SeededGenerator
    ) -> Disposition {
        precondition(state == .offered, "only an offered attempt ends, not one that is \(state)")
        state = .waiting
        switch outcome {
        case .answered(let response):
            return judge(response, withdrawal, backlogPause: backlogPause, now: now, using: &generator)
        case .failed(let failure, let endpoint):
            record.failures += 1
            record.lastEndpoint = endpoint ?? record.lastEndpoint
            record.lastError = endpoint.map { "\(failure.rawValue) (\($0))" } ?? failure.rawValue
            if failure == .answerTooLong {
                return .complete(deadLetter("the answer is too long to be kept", now: now))
            }
            if let disposition = end(withdrawal, now: now) { return disposition }
            return retry(after: nil, response: nil, backlogPause: backlogPause, now: now, using: &generator)
        case .rejected(let refusal, let reason, let retryAfter):
            record.lastError = "not admitted: \(reason)"
            if refusal != .stopping { record.sheds += 1 }
            if let disposition = end(withdrawal, now: now) { return disposition }
            if refusal == .postponed { return postpone(by: retryAfter, now: now, using: &generator) }
            return refused(refusal, retryAfter: retryAfter, response: nil, now: now)
        case .dropped(let reason):
            record.lastError = "dropped: \(reason)"
            if let disposition = end(withdrawal, now: now) { return disposition }
            var result = finish(with: nil, now: now)
            result.errorCode = .gateDropped
            result.errorMessage = "turned away by a dispatch gate: \(reason)"
            return .complete(result)
        case .evicted:
            record.evictions += 1
            if let disposition = end(withdrawal, now: now) { return disposition }
            return now < message.deadline ? .offerAgain : .complete(expired(now: now))
        case .withdrawn:
            if withdrawal == .attemptTimedOut {
                record.failures += 1
                record.lastError = "no answer within the time of one attempt"
            }
            return end(withdrawal ?? .handingBack, now: now)
                ?? retry(after: nil, response: nil, backlogPause: backlogPause, now: now, using: &generator)
        }
    }

    /// The result of a message that its owner has taken back while no attempt was under way.
    public mutating func cancel(now: Instant) -> InferenceResult {
        var result = finish(with: nil, now: now)
        result.errorCode = .cancelled
        result.errorMessage = "cancelled by its owner"
        return result
    }

    /// What a withdrawal leads to; nil if the attempt counts as failed and is judged like that.
    private mutating func end(_ withdrawal: Withdrawal?, now: Instant) -> Disposition? {
        switch withdrawal {
        case .deadlinePassed: return .complete(expired(now: now))
        case .cancelled: return .complete(cancel(now: now))
        case .handingBack: return now < message.deadline ? .handBack : .complete(expired(now: now))
        case .attemptTimedOut, nil: return nil
        }
    }

    private mutating func judge(
        _ response: AttemptResponse, _ withdrawal: Withdrawal?, backlogPause: TimeSpan, now: Instant,
        using generator: inout SeededGenerator
    ) -> Disposition {
        record.lastStatusCode = response.statusCode
        record.lastEndpoint = response.endpoint ?? record.lastEndpoint
        let verdict = AnswerVerdict(statusCode: response.statusCode, dropReason: response.dropReason)
        if verdict == .final {
            record.lastError = nil
            return .complete(finish(with: response, now: now))
        }
        record.lastError = "status \(response.statusCode)" + (response.dropReason.map { ", \($0)" } ?? "")
        if verdict == .retry { record.failures += 1 } else { record.sheds += 1 }
        if let disposition = end(withdrawal, now: now) { return disposition }
        switch verdict {
        case .capacity:
            return refused(.capacity, retryAfter: response.retryAfter, response: response, now: now)
        case .unavailable:
            return refused(.unavailable, retryAfter: response.retryAfter, response: response, now: now)
        case .retry, .final:
            return retry(
                after: response.retryAfter, response: response, backlogPause: backlogPause, now: now,
                using: &generator)
        }
    }

    private mutating func refused(
        _ refusal: Refusal, retryAfter: TimeSpan?, response: AttemptResponse?, now: Instant
    ) -> Disposition {
        guard message.deadline - now > policy.minimumRemaining else {
            return .complete(expired(with: response, now: now))
        }
        return switch refusal {
        case .capacity: .awaitCapacity(retryAfter: retryAfter)
        case .unavailable, .stopping, .postponed: .handBack
        }
    }

    /// Back to the queue for a while, spread so that those put off together do not return together. Being put off is no
    /// failure, however often it happens.
    private func postpone(
        by span: TimeSpan?, now: Instant, using generator: inout SeededGenerator
    ) -> Disposition {
        let pause = (span ?? policy.capacityPause) * (1 + 0.25 * generator.unit())
        return .postpone(until: now + max(.zero, min(pause, message.deadline - now - policy.minimumRemaining)))
    }

    private mutating func retry(
        after retryAfter: TimeSpan?, response: AttemptResponse?, backlogPause: TimeSpan, now: Instant,
        using generator: inout SeededGenerator
    ) -> Disposition {
        if let limit = policy.maximumFailures, record.failures >= limit {
            let reason = "gave up after \(record.failures) failures, the last: \(record.lastError ?? "unknown")"
            return .complete(deadLetter(reason, with: response, now: now))
        }
        let remaining = message.deadline - now
        guard remaining > policy.minimumRemaining else {
            return .complete(expired(with: response, now: now))
        }
        let pause = policy.backoff(
            failure: record.failures, remaining: remaining, retryAfter: retryAfter, backlogPause: backlogPause,
            using: &generator)
        return .release(readyAt: now + pause)
    }

    private mutating func deadLetter(
        _ reason: String, with response: AttemptResponse? = nil, now: Instant
    ) -> InferenceResult {
        var result = finish(with: response, now: now)
        result.errorCode = .inferenceError
        result.errorMessage = reason
        result.isDeadLetter = true
        return result
    }

    private mutating func expired(with response: AttemptResponse? = nil, now: Instant) -> InferenceResult {
        var result = finish(with: response, now: now)
        result.errorCode = .deadlineExceeded
        result.errorMessage =
            if let lastError = record.lastError {
                "no final answer before the deadline; the last attempt: \(lastError)"
            } else if record.dispatches > 0 {
                "no final answer before the deadline"
            } else if now < message.deadline {
                "too little time was left before the deadline for the request to be answered"
            } else {
                "the deadline passed before the request could be started"
            }
        return result
    }

    private mutating func finish(with response: AttemptResponse?, now: Instant) -> InferenceResult {
        state = .finished
        var result = InferenceResult(for: leased, queue: queue, attempts: record, finished: now)
        guard let response else { return result }
        result.payload = response.body
        result.contentType = response.contentType
        result.usage = response.usage
        return result
    }
}
