public import Basics
public import Delivery

/// A message that is not finished, as a listing shows it: without its payload.
public struct QueuedMessage: Hashable, Sendable {
    /// Where a message is.
    public enum Stage: Hashable, Sendable {
        /// Free to be leased.
        case ready
        /// Waiting for the time of its next attempt.
        case delayed(until: Instant)
        /// In the consumer's hands.
        case leased(until: Instant)
    }

    /// Its number in the order of submission; pass it to `list(after:limit:)` to go on behind it.
    public let sequence: Int64
    /// Its id.
    public let id: String
    /// The path it is posted to.
    public let path: String
    /// The model it asks for.
    public let model: String?
    /// Where it is.
    public let stage: Stage
    /// When its answer stops being of use.
    public let deadline: Instant
    /// When its producer made it.
    public let created: Instant
    /// What happened to it before the present lease.
    public let attempts: AttemptRecord
}
