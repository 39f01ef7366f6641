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
    /// The answer was a stream that ended in an error.
    case errorInAnswer = "error in the answer"
    /// The gateway itself failed.
    case gatewayFault = "fault of the gateway"
    /// The endpoint took too long.
    case timedOut = "timed out"
    /// The answer is longer than is accepted; it would be again.
    case answerTooLong = "answer too long"
}

/// Why the gateway did not carry a request now.
public enum Refusal: Hashable, Sendable {
    /// It has no room; it will when something else has finished.
    case capacity
    /// Nobody there serves the model at present.
    case unavailable
    /// It is going away.
    case stopping
    /// This message is to be put off, and others of its target meanwhile need not be: it has no right to what there is.
    case postponed
}

/// How one attempt ended.
public enum AttemptOutcome: Hashable, Sendable {
    /// An answer arrived, of whatever status.
    case answered(AttemptResponse)
    /// The request was sent, or was to be sent, and no whole answer came back.
    case failed(TransportFailure, endpoint: String?)
    /// The gateway refused to carry the request now; no endpoint has seen it.
    case rejected(Refusal, reason: String, retryAfter: TimeSpan?)
    /// A dispatch gate turned the request away for good, before anything was sent.
    case dropped(reason: String)
    /// The gateway aborted the request to make room for real-time work.
    case evicted
    /// The request was taken back, as it was asked to be.
    case withdrawn
}

/// What an HTTP answer means for a message.
///
/// Upstream's table (shared reference `async-processor.md` 3.4) with repairs: 408, 409 and 425 are retried, as the OpenAI
/// SDKs do, and drop reasons tell a server without room from one that is going away.
public enum AnswerVerdict: Hashable, Sendable {
    /// The server's final word, good or bad.
    case final
    /// Turned away for lack of room: try again when there is some. It is nobody's failure.
    case capacity
    /// Nobody serves this at present.
    case unavailable
    /// Failed in a way that may pass.
    case retry

    /// Judges an answer by its status and its drop reason.
    public init(statusCode: Int, dropReason: String?) {
        let reason = dropReason.flatMap(DropReason.init(rawValue:))
        self =
            switch (statusCode, reason) {
            case (429, .noEndpoints?), (503, .noEndpoints?): .unavailable
            case (429, .shuttingDown?), (503, .shuttingDown?): .retry
            case (429, _): .capacity
            case (503, _) where dropReason != nil: .capacity
            case (408, _), (409, _), (425, _), (500...599, _): .retry
            default: .final
            }
    }
}
