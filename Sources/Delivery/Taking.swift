import Basics

/// When a consumer asks its queue for messages, and when it waits to be told that there are some.
struct Taking {
    typealias Action = ConsumerStateMachine.Action

    /// Messages past their deadline that are taken in one go.
    static let overdueLimit = 256
    private static let overdueInterval = TimeSpan.seconds(1)
    /// When there were more of them; not at once, as they may come back from our hands.
    private static let overduePause = TimeSpan.milliseconds(20)

    private let firstPause: TimeSpan
    private let longestPause: TimeSpan
    private var pause: TimeSpan
    private var isTaking = false
    private var isTakingOverdue = false
    /// The targets that the wait for messages leaves out; nil while there is none.
    private var awaitedWithout: Set<String>?
    private var lastExclusions: Set<String> = []
    /// The targets that were excluded when the queue last had nothing for us; nil while it may have something.
    private var dryFor: Set<String>?
    /// Since the queue failed nothing is asked of it before this.
    private(set) var pausedUntil: Instant?
    private(set) var nextOverdueLook: Instant

    init(firstPause: TimeSpan, longestPause: TimeSpan, now: Instant) {
        self.firstPause = firstPause
        self.longestPause = longestPause
        pause = firstPause
        nextOverdueLook = now + Self.overdueInterval
    }

    /// Whether an answer of the queue is still to come.
    var isUnderWay: Bool { isTaking || isTakingOverdue }

    func isPossible(now: Instant) -> Bool { !isTaking && now >= pausedUntil ?? .zero }

    mutating func next(limit: Int, excluding excluded: Set<String>) -> Action? {
        pausedUntil = nil
        if let dryFor, dryFor.isSubset(of: excluded) {
            // A wait that leaves out a target that is welcome by now would miss its messages.
            if let awaitedWithout, awaitedWithout.isSubset(of: excluded) { return nil }
            awaitedWithout = excluded
            return .awaitReady(excluding: excluded)
        }
        isTaking = true
        awaitedWithout = nil
        dryFor = nil
        lastExclusions = excluded
        return .take(limit: limit, excluding: excluded)
    }

    mutating func nextOverdue(before instant: Instant, now: Instant) -> Action? {
        guard !isTakingOverdue, now >= nextOverdueLook, now >= pausedUntil ?? .zero else { return nil }
        isTakingOverdue = true
        nextOverdueLook = now + Self.overdueInterval
        return .takeOverdue(before: instant, limit: Self.overdueLimit)
    }

    mutating func received(_ count: Int, isOverdue: Bool, now: Instant) {
        pause = firstPause
        if isOverdue {
            isTakingOverdue = false
            if count == Self.overdueLimit { nextOverdueLook = now + Self.overduePause }
        } else {
            isTaking = false
            if count == 0 { dryFor = lastExclusions }
        }
    }

    mutating func failed(isOverdue: Bool, now: Instant) {
        if isOverdue { isTakingOverdue = false } else { isTaking = false }
        pausedUntil = now + pause
        pause = min(pause * 2, longestPause)
    }

    mutating func mayBeReady() {
        dryFor = nil
        awaitedWithout = nil
    }
}
