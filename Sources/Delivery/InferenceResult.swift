public import Basics
public import InferenceAPI

/// Why a message ended without a usable answer (the names of shared reference `async-processor.md` 2.3).
public enum DeliveryErrorCode: String, Hashable, Sendable, CaseIterable {
    /// The deadline passed before a final answer arrived.
    case deadlineExceeded = "DEADLINE_EXCEEDED"
    /// Somebody took the request back.
    case cancelled = "CANCELLED"
    /// The model server could not be made to answer.
    case inferenceError = "INFERENCE_ERROR"
    /// The request cannot be run as it is.
    case invalidRequest = "INVALID_REQUEST"
    /// A dispatch gate turned it away for good.
    case gateDropped = "GATE_DROPPED"
    /// The stored request can no longer be read.
    case payloadUnavailable = "PAYLOAD_UNAVAILABLE"
}

/// The one terminal record of a message.
public struct InferenceResult: Hashable, Sendable {
    /// The id of the message.
    public var id: String
    /// Tells this use of the id from others: an id that is used again never gets the answer of its former use.
    public var generation: String
    /// The queue it went through.
    public var queue: String
    /// Whose message it was; empty where there are no tenants.
    public var tenant: String
    /// The status of the last HTTP answer, if one arrived, whether it was a success or not.
    public var statusCode: Int?
    /// The body of the last HTTP answer, if this process has it.
    public var payload: [UInt8]?
    /// The media type of `payload`.
    public var contentType: String?
    /// Why there is no final answer; nil when `statusCode` and `payload` are the server's final word.
    public var errorCode: DeliveryErrorCode?
    /// The same for people, in a sentence.
    public var errorMessage: String?
    /// The path that the request was posted to.
    public var path: String
    /// The model that was asked for.
    public var model: String?
    /// The endpoint that answered last.
    public var endpoint: String?
    /// Tokens used, if the answer says.
    public var usage: TokenUsage?
    /// What happened on the way.
    public var attempts: AttemptRecord
    /// Whether the message was given up although its deadline had not passed: it is kept, with its payload, to be looked
    /// at and run again.
    public var isDeadLetter: Bool
    /// When the producer made the message.
    public var created: Instant
    /// When the queue accepted it.
    public var enqueued: Instant
    /// When this record was made.
    public var finished: Instant
    /// The metadata of the message.
    public var metadata: [String: String]

    /// Creates the record of a message as it stands at `finished`, without an answer.
    public init(for leased: LeasedMessage, queue: String, attempts: AttemptRecord, finished: Instant) {
        let message = leased.message
        id = message.id
        generation = leased.generation
        self.queue = queue
        tenant = message.tenant
        isDeadLetter = false
        enqueued = leased.enqueued
        path = message.path
        model = message.model
        created = message.created
        metadata = message.metadata
        self.attempts = attempts
        self.finished = finished
        statusCode = attempts.lastStatusCode
        endpoint = attempts.lastEndpoint
    }

    /// Whether the model server answered with success.
    public var isSuccess: Bool {
        guard errorCode == nil, let statusCode else { return false }
        return statusCode < 400
    }
}
