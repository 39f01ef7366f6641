public import Basics
public import Delivery

/// A durable queue of inference messages and their results: what a transport implements.
///
/// A message is enqueued, leased, and at the end completed. Whoever leases a message owns it until the lease runs out;
/// a lease can be extended, and given back with a time at which the message is to be tried again. Completing stores the
/// result and removes the message in one step, so that a message has exactly one result however often it was leased.
///
/// All times are instants since the Unix epoch.
public protocol MessageQueue: Sendable {
    /// Stores messages; when this returns, the accepted ones survive the process.
    ///
    /// Idempotent by id: an id that is already known, waiting or finished, is not stored again. The receipts, one for each
    /// message in order, say what became of it. The whole call is accepted or, by throwing, none of it.
    func enqueue(_ messages: [InferenceMessage]) async throws -> [EnqueueReceipt]

    /// Takes up to `limit` messages whose time has come: earliest deadline first, then in the order of submission.
    ///
    /// Never waits for messages to come; see `waitUntilReady()`.
    func lease(limit: Int, duration: TimeSpan) async throws -> [LeasedMessage]

    /// Extends leases to `duration` from now; returns those that are lost, because they ran out and were taken anew.
    func extend(_ leases: [Lease], duration: TimeSpan) async throws -> [Lease]

    /// Gives a message back with the record of its attempts; it can be leased again from `readyAt` on.
    ///
    /// The message keeps its place by deadline and submission: with a `readyAt` that has passed it is at the head again.
    /// Returns false, and changes nothing, if the lease is lost.
    func release(_ lease: Lease, attempts: AttemptRecord, readyAt: Instant) async throws -> Bool

    /// Stores the result of a message and removes the message, in one step.
    ///
    /// Returns false, and changes nothing, if the lease is lost: the message is, or was, in other hands.
    func complete(_ lease: Lease, with result: InferenceResult) async throws -> Bool

    /// Suspends until a message may be ready to be leased, or the task is cancelled.
    func waitUntilReady() async throws

    /// Up to `limit` results that were stored after the one at `cursor`, oldest first; a cursor of 0 starts at the first.
    func results(after cursor: Int64, limit: Int) async throws -> [StoredResult]

    /// Suspends until there is a result after `cursor`, or the task is cancelled.
    func waitForResults(after cursor: Int64) async throws

    /// How full the queue is.
    func depth() async throws -> QueueDepth
}

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

    /// Creates a leased message.
    public init(lease: Lease, message: InferenceMessage, attempts: AttemptRecord) {
        self.lease = lease
        self.message = message
        self.attempts = attempts
    }
}

/// What became of one submitted message.
public enum EnqueueReceipt: String, Hashable, Sendable {
    /// It is stored now.
    case accepted
    /// The same request is waiting or in work under this id; the submission changed nothing, its deadline included.
    case alreadyQueued
    /// The same request has its result already.
    case alreadyFinished
    /// The id is taken by a request with another path or payload; this one was not stored.
    case conflict
}

/// A result as it lies in the queue.
public struct StoredResult: Hashable, Sendable {
    /// Its place in the order of completion; pass it to `results(after:limit:)` to go on behind it.
    public let cursor: Int64
    /// The id of the message.
    public let id: String
    /// The HTTP status, if an answer arrived.
    public let statusCode: Int?
    /// The error code, unless the status is the final word.
    public let errorCode: String?
    /// The result as one line of JSON in UTF-8, without a line end.
    public let line: [UInt8]

    /// Creates a stored result.
    public init(cursor: Int64, id: String, statusCode: Int?, errorCode: String?, line: [UInt8]) {
        self.cursor = cursor
        self.id = id
        self.statusCode = statusCode
        self.errorCode = errorCode
        self.line = line
    }

    /// Whether the model server answered with success.
    public var isSuccess: Bool { errorCode == nil && (statusCode ?? 500) < 400 }
}

/// How full a queue is, in messages.
public struct QueueDepth: Hashable, Sendable {
    /// Waiting, and free to be leased.
    public var ready = 0
    /// Waiting for the time of their next attempt.
    public var delayed = 0
    /// In somebody's hands.
    public var leased = 0
    /// Results kept.
    public var results = 0
    /// The earliest deadline of a message that is not finished.
    public var earliestDeadline: Instant?

    /// Creates an empty queue's depth.
    public init() {}

    /// Messages without a result yet.
    public var unfinished: Int { ready + delayed + leased }
}
