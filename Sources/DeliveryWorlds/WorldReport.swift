/// What happened in one world, or in many.
public struct WorldCounts: Hashable, Sendable {
    /// Messages accepted, dead letters that were run again included.
    public var messages = 0
    /// Submissions of ids that were known, whatever their receipt.
    public var resubmissions = 0
    /// Requests given to an endpoint.
    public var executions = 0
    /// Those beyond the first of a message.
    public var reexecutions = 0
    /// Those by the holder of a lease that had been lost.
    public var staleExecutions = 0
    /// Processes killed.
    public var crashes = 0
    /// Processes that were asked to stop, gently or not.
    public var stops = 0
    /// Processes that stood still for a while.
    public var freezes = 0
    /// Leases that ran out.
    public var expiredLeases = 0
    /// Answers of the queue that were lost after the commit.
    public var lostAcknowledgements = 0
    /// Answers of the queue that arrived twice.
    public var repeatedAcknowledgements = 0
    /// Calls of the queue that failed.
    public var queueErrors = 0
    /// Transactions rolled back because of one bad operation among others.
    public var rollbacks = 0
    /// Corrections of the wall clock.
    public var clockSteps = 0
    /// Requests called back for real-time work.
    public var evictions = 0
    /// Cancellations of messages that waited or were in work.
    public var cancellations = 0
    /// Dead letters run again.
    public var redrives = 0
    /// Attempts put off.
    public var retries = 0
    /// Times that a target was found failing.
    public var breakersOpened = 0
    /// Real-time requests.
    public var realtime = 0
    /// Records of success.
    public var succeeded = 0
    /// Records of final errors.
    public var failed = 0
    /// Records of messages given up.
    public var deadLetters = 0
    /// Records of deadlines missed.
    public var expired = 0
    /// Records of cancellation.
    public var cancelled = 0
    /// Things that happened.
    public var happenings = 0

    /// Nothing yet.
    public init() {}

    /// Every figure with its name, in the order of this declaration.
    public var figures: [(name: String, value: Int)] {
        [
            ("messages", messages), ("resubmissions", resubmissions), ("executions", executions),
            ("re-executions", reexecutions), ("stale executions", staleExecutions), ("crashes", crashes),
            ("stops", stops), ("freezes", freezes), ("expired leases", expiredLeases),
            ("lost acks", lostAcknowledgements), ("repeated acks", repeatedAcknowledgements),
            ("queue errors", queueErrors), ("rollbacks", rollbacks), ("clock steps", clockSteps),
            ("evictions", evictions), ("cancellations", cancellations), ("redrives", redrives), ("retries", retries),
            ("breakers opened", breakersOpened), ("real-time requests", realtime), ("succeeded", succeeded),
            ("failed", failed), ("dead letters", deadLetters), ("deadline exceeded", expired),
            ("cancelled", cancelled), ("happenings", happenings),
        ]
    }

    private static var fields: [WritableKeyPath<WorldCounts, Int>] {
        [
            \.messages, \.resubmissions, \.executions, \.reexecutions, \.staleExecutions, \.crashes, \.stops, \.freezes,
            \.expiredLeases, \.lostAcknowledgements, \.repeatedAcknowledgements, \.queueErrors, \.rollbacks,
            \.clockSteps,
            \.evictions, \.cancellations, \.redrives, \.retries, \.breakersOpened, \.realtime, \.succeeded, \.failed,
            \.deadLetters, \.expired, \.cancelled, \.happenings,
        ]
    }

    /// Adds up.
    public static func += (left: inout WorldCounts, right: WorldCounts) {
        for field in fields { left[keyPath: field] += right[keyPath: field] }
    }
}

/// An invariant that did not hold.
public struct Violation: Hashable, Sendable {
    /// Which.
    public var invariant: Invariant
    /// What was seen.
    public var detail: String
    /// When, in seconds of the world's steady time.
    public var seconds: Double
}

/// How one world went.
public struct WorldReport: Hashable, Sendable {
    /// The number that makes the world again.
    public var seed: UInt64
    /// What happened.
    public var counts: WorldCounts
    /// What did not hold: the first few.
    public var violations: [Violation]
    /// A digest of all that happened, in order: equal seeds have equal digests.
    public var digest: UInt64
    /// One line for each thing that happened, if that was asked for.
    public var trace: [String]
}
