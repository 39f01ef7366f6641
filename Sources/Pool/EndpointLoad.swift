/// What has been sent to one endpoint and has not come back: the gateway's own counters, exact and current.
///
/// Reserved when a request is placed (before the next one is), so that two picks never see the same gap.
public struct EndpointLoad: Hashable, Sendable {
    /// Real-time requests in flight.
    public private(set) var realtimeRequests = 0
    /// Sheddable requests in flight.
    public private(set) var sheddableRequests = 0
    /// Requests in flight, of both classes, that have not produced a token yet.
    public private(set) var requestsAwaitingFirstToken = 0
    /// Uncached prompt tokens of the requests that have not produced a token yet.
    public private(set) var pendingPrefillTokens = 0
    /// KV-cache tokens that the requests in flight will hold at their ends.
    public private(set) var reservedKVTokens = 0
    /// The sum of the mean contexts of the real-time requests in flight, in tokens.
    public private(set) var realtimeContextTokens = 0
    /// The sum of the mean contexts of the sheddable requests in flight, in tokens.
    public private(set) var sheddableContextTokens = 0

    /// An idle endpoint.
    public init() {}

    /// Requests in flight, of both classes.
    public var requests: Int { realtimeRequests + sheddableRequests }

    /// The sum of the mean contexts of all requests in flight, in tokens.
    public var contextTokens: Int { realtimeContextTokens + sheddableContextTokens }

    /// Counts a request that has been placed here.
    public mutating func reserve(_ demand: RequestDemand, _ workClass: WorkClass) {
        change(workClass, requests: 1, contextTokens: demand.meanContextTokens)
        requestsAwaitingFirstToken += 1
        pendingPrefillTokens += demand.uncachedPromptTokens
        reservedKVTokens += demand.kvTokens
    }

    /// Notes that a request produced its first token.
    public mutating func firstToken(_ demand: RequestDemand) {
        requestsAwaitingFirstToken -= 1
        pendingPrefillTokens -= demand.uncachedPromptTokens
    }

    /// Replaces the estimate of a request in flight that has produced its first token by a better one.
    public mutating func revise(_ old: RequestDemand, to new: RequestDemand, _ workClass: WorkClass) {
        reservedKVTokens += new.kvTokens - old.kvTokens
        change(workClass, requests: 0, contextTokens: new.meanContextTokens - old.meanContextTokens)
    }

    /// Uncounts a request that has ended, however it ended.
    public mutating func release(_ demand: RequestDemand, _ workClass: WorkClass, hadFirstToken: Bool) {
        if !hadFirstToken { firstToken(demand) }
        change(workClass, requests: -1, contextTokens: -demand.meanContextTokens)
        reservedKVTokens -= demand.kvTokens
        precondition(requests >= 0 && pendingPrefillTokens >= 0 && reservedKVTokens >= 0, "released more than reserved")
    }

    private mutating func change(_ workClass: WorkClass, requests: Int, contextTokens: Int) {
        switch workClass {
        case .realtime:
            realtimeRequests += requests
            realtimeContextTokens += contextTokens
        case .sheddable:
            sheddableRequests += requests
            sheddableContextTokens += contextTokens
        }
    }
}
