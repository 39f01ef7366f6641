public import Basics

/// The right to work on one message until it runs out; worthless once the message has been leased anew.
public struct Lease: Hashable, Sendable {
    /// The message's number in the queue, in the order of submission.
    public let sequence: Int64
    /// Tells this lease from earlier and later ones of the same message.
    public let token: Int64

    /// Names a lease.
    public init(sequence: Int64, token: Int64) {
        self.sequence = sequence
        self.token = token
    }
}

/// A message in the hands of the one who leased it.
public struct LeasedMessage: Hashable, Sendable {
    /// The right to it.
    public let lease: Lease
    /// The message.
    public let message: InferenceMessage
    /// What happened to it before.
    public let attempts: AttemptRecord
    /// Tells this use of the id from earlier and later ones; it goes into the result.
    public let generation: String
    /// When the queue accepted it.
    public let enqueued: Instant

    /// Creates a leased message.
    public init(
        lease: Lease, message: InferenceMessage, attempts: AttemptRecord, generation: String, enqueued: Instant
    ) {
        self.lease = lease
        self.message = message
        self.attempts = attempts
        self.generation = generation
        self.enqueued = enqueued
    }
}
