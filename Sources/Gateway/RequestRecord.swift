public import Basics
public import InferenceAPI
public import Pool

/// What is known of a request once it is over: one line of an access log, one observation of the metrics.
public struct RequestRecord: Sendable {
    /// The correlation id: the caller's, or one made here.
    public var requestID: String
    /// HTTP method.
    public var method: String
    /// Path and query as the client sent them, at most 256 bytes.
    public var path: String
    /// The model that the request names.
    public var model: String?
    /// Status of the answer. 499 if the client left before it began.
    public var status: Int
    /// The pool that the model belongs to; nil if the request never got that far.
    public var pool: String?
    /// The endpoint that was tried last.
    public var endpoint: String?
    /// Its band.
    public var priority: Int
    /// Its tempo.
    public var workClass: WorkClass
    /// The tenant that it names.
    public var fairnessID: String?
    /// Whether the answer is an event stream.
    public var isStreamed: Bool
    /// Whether it came over the in-process door and not over a socket.
    public var isInProcess: Bool
    /// Whether it was answered in this process, for or from the queue: its times say nothing of model servers.
    public var isLocal = false
    /// The id of the queued request that it made or asked for, if the answer tells one.
    public var queuedRequestID: String?
    /// When its head had been read.
    public var started: Instant
    /// From `started` to its last placement on an endpoint; nil if it never had one.
    public var placedAfter: TimeSpan?
    /// From `started` to the first body byte of the answer.
    public var firstByteAfter: TimeSpan?
    /// From `started` to its end.
    public var endedAfter: TimeSpan
    /// Tokens as the endpoint counted them.
    public var usage: TokenUsage?
    /// Output events of a stream, where the endpoint gave no usage: about one token each.
    public var outputEvents: Int
    /// The gateway's estimate of the prompt.
    public var estimatedPromptTokens: Int
    /// Endpoints that it was placed on.
    public var attempts: Int
    /// Bytes of the request body that were read.
    public var requestBytes: Int
    /// Bytes of the answer's body that were passed on.
    public var responseBytes: Int
    /// The error that Weir answered with; nil if the answer was the endpoint's.
    public var error: APIError?
    /// Whether the client left before the end of the answer.
    public var clientLeft: Bool
    /// Whether the answer broke off after it had begun.
    public var isCut: Bool
}

/// Told what happens in the gateway; called on event loops, so it must be quick and may not block.
public protocol GatewayObserver: Sendable {
    /// A request is over.
    func requestEnded(_ record: RequestRecord)
    /// An endpoint went down or came back; `reason` is a clause for the log.
    func endpointChanged(pool: String, endpoint: String, isUp: Bool, reason: String)
    /// A pool that asks its endpoints for their models has found out.
    func modelsChanged(pool: String, models: [String])
}

extension GatewayObserver {
    /// Ignores the event.
    public func requestEnded(_ record: RequestRecord) {}
    /// Ignores the event.
    public func endpointChanged(pool: String, endpoint: String, isUp: Bool, reason: String) {}
    /// Ignores the event.
    public func modelsChanged(pool: String, models: [String]) {}
}
