public import Basics

/// What admission needs to know of a request that waits.
public struct WaitingRequest: Hashable, Sendable {
    /// The caller's name for the request.
    public var id: UInt64
    /// The band: higher goes first, below zero is sheddable.
    public var priority: Int
    /// Whose it is (the fairness id).
    public var flow: String
    /// When it was received. One that is inserted again, after its endpoint failed, keeps its first instant.
    public var enqueued: Instant
    /// How long it says it may wait, if that is less than what its band allows.
    public var timeToLive: TimeSpan?
    /// When its answer is worth nothing any more.
    public var deadline: Instant?
    /// The limit on its time to first token, if it names one.
    public var ttftLimit: TimeSpan?
    /// Body bytes held while it waits.
    public var bytes: Int
    /// The tokens it is expected to take.
    public var use: TokenUse
    /// Whether limits and times to live apply. Messages that a queue already holds durably are bounded by their
    /// processor and wait until their deadline.
    public var countsAgainstLimits: Bool

    /// Creates a description of a waiting request.
    public init(
        id: UInt64, priority: Int, flow: String = "", enqueued: Instant, timeToLive: TimeSpan? = nil,
        deadline: Instant? = nil, ttftLimit: TimeSpan? = nil, bytes: Int = 0, use: TokenUse = .none,
        countsAgainstLimits: Bool = true
    ) {
        self.id = id
        self.priority = priority
        self.flow = flow
        self.enqueued = enqueued
        self.timeToLive = timeToLive
        self.deadline = deadline
        self.ttftLimit = ttftLimit
        self.bytes = min(max(0, bytes), 1 << 40)
        self.use = use
        self.countsAgainstLimits = countsAgainstLimits
    }
}

extension WaitingRequest {
    /// What a place holds that nobody waits in.
    static var nobody: WaitingRequest { WaitingRequest(id: 0, priority: 0, enqueued: .zero) }

    /// When waiting any longer is pointless by the request's own word: its deadline, or its own time to live.
    var ownExpiry: Instant {
        let deadline = min(deadline ?? .distantFuture, .distantFuture)
        guard countsAgainstLimits, let timeToLive else { return deadline }
        return min(deadline, enqueued + min(max(timeToLive, .zero), .seconds(1e9)))
    }
}
