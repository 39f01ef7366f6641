public import Basics

/// The most that may wait; nil means no limit.
public struct WaitingLimits: Hashable, Sendable {
    /// Requests.
    public var requests: Int?
    /// Body bytes.
    public var bytes: Int?
    /// Expected uncached input and output tokens.
    public var tokens: Int?

    /// Creates limits.
    public init(requests: Int? = nil, bytes: Int? = nil, tokens: Int? = nil) {
        self.requests = requests
        self.bytes = bytes
        self.tokens = tokens
    }
}

extension WaitingLimits {
    /// The share of the limits that so much takes up: of the one of which it takes up most; requests per request where
    /// there is none.
    func share(of amounts: WaitingAmounts) -> Double {
        guard requests != nil || bytes != nil || tokens != nil else { return Double(amounts.requests) }
        func part(_ amount: Int, _ limit: Int?) -> Double { limit.map { Double(amount) / Double(max($0, 1)) } ?? 0 }
        return max(part(amounts.requests, requests), part(amounts.bytes, bytes), part(amounts.tokens, tokens))
    }
}

/// How the flows of one band take turns.
public enum FlowFairness: String, Hashable, Sendable, CaseIterable {
    /// Flows are ignored: the best request of the band by its ordering is next.
    case strict
    /// One request per flow and turn.
    case roundRobin = "round-robin"
    /// Deficit round robin on tokens: flows that have work waiting get the same number of tokens (times their weights),
    /// whatever the sizes of their requests. See `FlowTurns`.
    case tokenFair = "token-fair"
}

/// How requests of one flow (under `FlowFairness.strict`, of one band) are ordered. Equals go by arrival.
public enum FlowOrdering: String, Hashable, Sendable, CaseIterable {
    /// First come, first served.
    case firstCome = "fcfs"
    /// Earliest deadline first, the deadline being the request's own or the end of its time to live.
    case earliestDeadline = "edf"
    /// By when the first token is due: received + TTFT limit. Requests that name no limit come last.
    case serviceLevel = "slo-deadline"
}

/// How one band treats the requests that wait in it.
public struct BandPolicy: Hashable, Sendable {
    /// What may wait in the band.
    public var limits: WaitingLimits
    /// How its flows take turns.
    public var fairness: FlowFairness
    /// How requests of one flow are ordered.
    public var ordering: FlowOrdering
    /// How long requests may wait here, if that is less than the pool's limit.
    public var timeToLive: TimeSpan?
    /// A request that has waited this long goes before higher bands, the one that is most overdue first; nil: never.
    ///
    /// A band that gets more work than the pool can do has all its requests overdue sooner or later, and would take
    /// everything: bound such a band by `limits`, or give it a `minimumShare` instead.
    public var ageingBound: TimeSpan?
    /// The share of dispatched tokens that the band gets while it has work waiting, 0 up to 1, whatever higher bands
    /// have; 0: none.
    public var minimumShare: Double
    /// Whether `ageingBound` and `minimumShare` of a sheddable band hold against real-time bands too.
    public var appliesAcrossClasses: Bool

    /// Creates a policy.
    public init(
        limits: WaitingLimits = .init(requests: 1000, bytes: 256 << 20), fairness: FlowFairness = .tokenFair,
        ordering: FlowOrdering = .firstCome, timeToLive: TimeSpan? = nil, ageingBound: TimeSpan? = nil,
        minimumShare: Double = 0, appliesAcrossClasses: Bool = false
    ) {
        self.limits = limits
        self.fairness = fairness
        self.ordering = ordering
        self.timeToLive = timeToLive
        self.ageingBound = ageingBound
        self.minimumShare = minimumShare
        self.appliesAcrossClasses = appliesAcrossClasses
    }

    /// Whether the band may ever go before a higher one.
    var makesExceptions: Bool { ageingBound != nil || minimumShare > 0 }
}
