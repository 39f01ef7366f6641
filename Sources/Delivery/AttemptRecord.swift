public import Basics

/// What has happened to a message so far; it travels with the message through the queue.
public struct AttemptRecord: Hashable, Sendable {
    /// How often the request was given to an endpoint.
    public var dispatches = 0
    /// Attempts that ended in a transport failure, an error status or a timeout.
    public var failures = 0
    /// Attempts turned away for lack of room, or because nobody was there to serve them.
    public var sheds = 0
    /// Attempts that the gateway cut short to make room for real-time work.
    public var evictions = 0
    /// When the request was first given to an endpoint.
    public var firstDispatched: Instant?
    /// The status of the last HTTP answer.
    public var lastStatusCode: Int?
    /// The endpoint of the last HTTP answer.
    public var lastEndpoint: String?
    /// What the last attempt failed of, for people.
    public var lastError: String?

    /// Creates the record of a message that nothing has happened to yet.
    public init() {}
}
