public import Basics
public import InferenceAPI

/// A whole HTTP answer to one attempt.
public struct AttemptResponse: Hashable, Sendable {
    /// The status code, 100...599.
    public var statusCode: Int
    /// The whole body.
    public var body: [UInt8]
    /// The `Content-Type` of the body.
    public var contentType: String?
    /// The `Retry-After` of the answer, as a span from its arrival.
    public var retryAfter: TimeSpan?
    /// The value of `x-llm-d-request-dropped-reason`.
    public var dropReason: String?
    /// The endpoint that answered.
    public var endpoint: String?
    /// Tokens used, if the body says.
    public var usage: TokenUsage?

    /// Creates an answer.
    public init(
        statusCode: Int, body: [UInt8], contentType: String? = nil, retryAfter: TimeSpan? = nil,
        dropReason: String? = nil, endpoint: String? = nil, usage: TokenUsage? = nil
    ) {
        self.statusCode = statusCode
        self.body = body
        self.contentType = contentType
        self.retryAfter = retryAfter
        self.dropReason = dropReason
        self.endpoint = endpoint
        self.usage = usage
    }
}

/// Why an attempt brought no whole answer.
public enum TransportFailure: String, Hashable, Sendable, CaseIterable {
    /// No connection could be made.
    case connectFailed = "connection failed"
    /// The connection broke before the answer was complete.
    case connectionLost = "connection lost"
    /// The endpoint took too long.
    case timedOut = "timed out"
    /// The answer is longer than is accepted; it would be again.
    case answerTooLong = "answer too long"
}

/// Why the processor took a request back.
public enum Withdrawal: Hashable, Sendable {
    /// The deadline of the message passed.
    case deadlinePassed
    /// The process is stopping.
    case stopping
}

/// How one attempt ended.
public enum AttemptOutcome: Hashable, Sendable {
    /// An answer arrived, of whatever status.
    case answered(AttemptResponse)
    /// The request was sent, or was to be sent, and no whole answer came back.
    case failed(TransportFailure, endpoint: String?)
    /// The gateway refused to carry the request now; no endpoint has seen it.
    case rejected(reason: String, retryAfter: TimeSpan?)
    /// The gateway aborted the request to make room for real-time work.
    case evicted
    /// The request was taken back before it ended.
    case withdrawn(Withdrawal)
}

/// What an HTTP status means for a message.
///
/// Upstream's table (shared reference `async-processor.md` 3.4) with two repairs: 408, 409 and 425 are retried, as the
/// OpenAI SDKs do, and transport failures are (they are no status, see `DeliveryStateMachine`).
public enum StatusVerdict: Hashable, Sendable {
    /// The server's final word, good or bad.
    case final
    /// Turned away for lack of capacity: try again, it is nobody's failure.
    case shed
    /// Failed in a way that may pass.
    case retry

    /// Judges an answer by its status and its drop reason.
    public init(statusCode: Int, dropReason: String?) {
        self =
            switch statusCode {
            case 429: .shed
            case 503 where dropReason != nil: .shed
            case 408, 409, 425, 500...599: .retry
            default: .final
            }
    }
}
