public import Basics
public import Delivery

/// A request that the processor offers to the pool.
public struct AsyncRequest: Sendable {
    /// The id of the message, for logs.
    public let id: String
    /// The message's number in the queue, for logs.
    public let sequence: Int64
    /// When the answer stops being of use, since the Unix epoch; the earliest goes first.
    public let deadline: Instant
    /// The path to post to.
    public let path: String
    /// The producer's header fields. They come from outside: the dispatcher decides which it trusts.
    public let headers: [String: String]
    /// Header fields that this process sets, in place of whatever else there is under their names.
    public var stamps: [String: String] = [:]
    /// The body, to be sent byte for byte.
    public let body: [UInt8]
    /// The model named in the body.
    public let model: String?
    /// Whose message it is; empty where there are no tenants.
    public let tenant: String
    /// The priority class of the message, 0 is the ordinary one.
    public let priority: Int
    /// The producer's notes: what quotas count by and transforms look at.
    public let metadata: [String: String]
    /// What the transport says about the message, for gates and merge policies.
    public let labels: [String: String]

    /// Creates the request of a message.
    public init(_ leased: LeasedMessage) {
        let message = leased.message
        id = message.id
        sequence = leased.lease.sequence
        tenant = message.tenant
        priority = message.priority
        metadata = message.metadata
        labels = message.labels
        deadline = message.deadline
        path = message.path
        headers = message.headers
        body = message.payload
        model = message.model
    }
}

/// Carries requests through the pool as sheddable work: what the gateway is to the processor.
public protocol InferenceDispatcher: Sendable {
    /// Waits until the pool can carry the request, sends it, and returns how it ended.
    ///
    /// Many calls wait at a time; the dispatcher starts them by deadline, then as they came, whenever it sees slack. It calls
    /// `started` once, when it gives the request to an endpoint, and not at all if it never does.
    ///
    /// Cancelling the calling task takes the request back: one that waits is withdrawn, one that is on its way is aborted
    /// at the endpoint. The call then returns soon, with `.withdrawn`, or with the answer if that was there already.
    /// `.evicted` is for a request that had started and was aborted for real-time work; `.rejected` for one that will not
    /// be carried now and need not wait here.
    func perform(_ request: AsyncRequest, started: @escaping @Sendable () -> Void) async -> AttemptOutcome
}
