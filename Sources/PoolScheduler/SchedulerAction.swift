public import Basics
public import Pool

/// What the scheduler asks its shell to do; the shell does it at once and in this order.
public enum SchedulerAction: Hashable, Sendable {
    /// Send the request to the endpoint; its load is already reserved there.
    case start(UInt64, EndpointID)
    /// Answer the request with an error; the scheduler has forgotten it.
    case reject(UInt64, Rejection)
    /// Cancel the request at the endpoint and hand it back to where it came from; the scheduler has forgotten it.
    case callBack(UInt64, EndpointID)
}

/// Why a request was turned away, and when it may be worth trying again.
public struct Rejection: Hashable, Sendable {
    /// The causes.
    public enum Cause: Hashable, Sendable {
        /// As many requests wait as may wait.
        case queueFull
        /// It waited as long as it may.
        case expired
        /// By what is known it could not be answered in the time that it has.
        case infeasible
        /// No endpoint is up.
        case noEndpoints
        /// Every endpoint that is up has been tried and failed.
        case endpointsFailed
        /// The gateway is draining.
        case shuttingDown
    }

    /// The cause.
    public var cause: Cause
    /// A sensible time to wait before the next try.
    public var retryAfter: TimeSpan
    /// In how much time it could be answered, by what is known; nil unless it is `infeasible`.
    public var earliest: TimeSpan?
}
