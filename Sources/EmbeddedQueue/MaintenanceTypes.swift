public import Basics
public import Delivery
public import MessageQueues

/// A message that was given up, kept so that it can be looked at and run again.
public struct DeadLetter: Hashable, Sendable {
    /// Its number in the order of submission; pass it to `deadLetters(after:limit:)` to go on behind it.
    public let sequence: Int64
    /// The request. Headers and metadata that can no longer be read are empty, and so is a payload that is gone.
    public let message: InferenceMessage
    /// Whether the whole request is still there; only then can it run again.
    public let isComplete: Bool
    /// When the queue accepted it.
    public let enqueued: Instant
    /// When it was given up.
    public let died: Instant
    /// The error code of its result.
    public let errorCode: String?
    /// Why it was given up, in a sentence.
    public let reason: String?
    /// What had happened to it.
    public let attempts: AttemptRecord
}

/// Everything that a queue knows of one request.
public struct RequestDetail: Hashable, Sendable {
    /// Where it stands.
    public let view: RequestView
    /// Header fields submitted with it; known until it has a result, and of dead letters.
    public let headers: [String: String]
    /// The producer's metadata, likewise.
    public let metadata: [String: String]
    /// Where its result is to be posted, likewise.
    public let webhook: String?
    /// Its body, likewise.
    public let payload: [UInt8]?
    /// Its result as one line of JSON.
    public let result: [UInt8]?
}

/// A message that is not finished, as a line that can be submitted to a queue.
public struct ExportedMessage: Hashable, Sendable {
    /// Its number in the order of submission; pass it to `export(after:limit:)` to go on behind it.
    public let sequence: Int64
    /// Its id.
    public let id: String
    /// The line, in UTF-8 and without a line end; nil if the stored message can no longer be read.
    public let line: [UInt8]?
}

/// Which dead letters are run again.
public enum DeadLetterSelection: Hashable, Sendable {
    /// Every one.
    case all
    /// Those of requests with these ids.
    case ids([String])
}

/// What is removed from a queue. Messages that are not finished are never removed; cancel them.
public enum PurgeSelection: Hashable, Sendable {
    /// Results of requests that finished before an instant.
    case results(finishedBefore: Instant)
    /// Results and dead letters of requests with these ids.
    case ids([String])
    /// All dead letters; their results stay.
    case deadLetters
    /// All results and dead letters.
    case finished
}

/// How much has been removed.
public struct PurgeCount: Hashable, Sendable {
    /// Results.
    public var results: Int
    /// Dead letters.
    public var deadLetters: Int

    /// A count.
    public init(results: Int = 0, deadLetters: Int = 0) {
        self.results = results
        self.deadLetters = deadLetters
    }

    static func += (total: inout PurgeCount, part: PurgeCount) {
        total.results += part.results
        total.deadLetters += part.deadLetters
    }
}
