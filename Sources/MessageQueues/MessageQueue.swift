public import Basics
public import Delivery

/// A queue of inference messages as a processor sees it: what every transport implements.
///
/// A message is leased and at the end completed. Whoever leases a message owns it until the lease runs out;
/// a lease can be extended, and given back with a time at which the message is to be tried again. Completing stores the
/// result and removes the message in one step, so that a message has exactly one result however often it was leased.
///
/// A transport whose broker cannot choose by target or by deadline takes messages into a `MessageStock` and chooses there.
///
/// All times are instants since the Unix epoch.
public protocol MessageQueue: Sendable {
    /// Takes up to `limit` messages whose time has come, except those whose target (`InferenceMessage.target`) is excluded.
    ///
    /// The highest priority class first; within a class tenants in turn, each getting the same share of bytes; within a
    /// tenant the earliest deadline first, then in the order of submission. Messages come back in the order in which they are
    /// to be started. Never waits for messages to come; see `waitUntilReady(excluding:)`.
    func lease(limit: Int, duration: TimeSpan, excluding targets: Set<String>) async throws -> [LeasedMessage]

    /// Takes up to `limit` messages that wait, of whatever target, whose deadline lies before `instant`: they are to be ended
    /// with a reason, even if nothing of their target or class would be taken for a long time.
    func leaseOverdue(before instant: Instant, limit: Int, duration: TimeSpan) async throws -> [LeasedMessage]

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

    /// Suspends until a message whose target is not excluded may be ready to be leased, or the task is cancelled.
    func waitUntilReady(excluding targets: Set<String>) async throws

    /// Suspends until somebody has asked to cancel messages that are leased; returns their leases, each once. They are then
    /// to be completed as cancelled. Empty if the task is cancelled.
    func nextCancellations() async throws -> [Lease]

    /// How full the queue is.
    func depth() async throws -> QueueDepth

    /// Says that nothing more will be leased: what has been taken from a broker and not been leased goes back at once, and
    /// so does everything released from now on. Until then a transport may keep a message that is released and could be
    /// leased again, so that the broker does not deliver it in circles.
    func stopLeasing()
}

extension MessageQueue {
    /// Nothing to do for a queue that keeps nothing apart.
    public func stopLeasing() {}
}

/// Where messages are handed in.
public protocol MessageIntake: Sendable {
    /// Stores messages; when this returns, the accepted ones survive the process.
    ///
    /// Idempotent by id: an id that is already known, waiting or finished, is not stored again. The receipts, one for each
    /// message in order, say what became of it. The whole call is accepted or, by throwing, none of it.
    func enqueue(_ messages: [InferenceMessage]) async throws -> [EnqueueReceipt]
}

/// Results that are kept by the queue itself and can be read again.
public protocol ResultLog: Sendable {
    /// Up to `limit` results that were stored after the one at `cursor`, oldest first; a cursor of 0 starts at the first.
    func results(after cursor: Int64, limit: Int) async throws -> [StoredResult]

    /// Suspends until there is a result after `cursor`, or the task is cancelled.
    func waitForResults(after cursor: Int64) async throws
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
    /// Messages that were given up and are kept.
    public var deadLetters = 0
    /// The earliest deadline of a message that waits, ready or delayed.
    public var earliestDeadline: Instant?

    /// Creates an empty queue's depth.
    public init() {}

    /// Messages without a result yet.
    public var unfinished: Int { ready + delayed + leased }
}
