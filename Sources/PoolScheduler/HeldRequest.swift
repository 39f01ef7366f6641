import Admission
import Basics
import Pool
import Prediction
import Routing

/// What does not change of a request while it is held. It is shared, because requests are looked at, and so copied, often,
/// and a reference is counted for each string and each array in it.
final class SubmittedRequest: Sendable {
    let request: PoolRequest
    /// The request as routing sees it.
    let routing: RoutingRequest
    let time: Instant
    /// What its flow is charged for it until the truth is known.
    let expectedUse: TokenUse

    init(_ request: PoolRequest, demand: RequestDemand, now: Instant) {
        self.request = request
        time = now
        expectedUse = TokenUse(
            uncachedInputTokens: demand.uncachedPromptTokens, outputTokens: demand.expectedOutputTokens)
        routing = RoutingRequest(
            id: request.id, priority: request.priority, promptTokens: demand.promptTokens,
            expectedOutputTokens: demand.expectedOutputTokens, ttftLimitMilliseconds: request.ttftLimitMilliseconds,
            tpotLimitMilliseconds: request.tpotLimitMilliseconds, adapter: request.adapter, session: request.session,
            headers: request.routingHeaders)
    }
}

/// A request that the scheduler holds: waiting for a place, or placed on an endpoint.
struct HeldRequest {
    let submitted: SubmittedRequest
    /// What it takes up: where it runs, once it is placed, and without any cached prompt until then.
    var demand: RequestDemand
    var placement: Placement?
    /// The context with which it is counted where it runs because its flow was kept back; nil if it was not.
    var contextKeptBack: Int?
    /// Endpoints that failed before answering; not tried again for this request.
    var failedEndpoints: [EndpointID] = []

    init(_ request: PoolRequest, demand: RequestDemand, now: Instant) {
        submitted = SubmittedRequest(request, demand: demand, now: now)
        self.demand = demand
    }

    var request: PoolRequest { submitted.request }

    var routing: RoutingRequest { submitted.routing }

    var workClass: WorkClass { WorkClass(priority: request.priority) }

    /// Whether there may be endpoints that it cannot use though they are up.
    var isSelective: Bool { !failedEndpoints.isEmpty || request.allowedEndpoints != nil }

    /// Whether the request may go to an endpoint as far as it itself is concerned.
    func mayUse(_ endpoint: EndpointID) -> Bool {
        !failedEndpoints.contains(endpoint) && request.allowedEndpoints.map { $0.contains(endpoint) } ?? true
    }
}

/// Where and since when a request runs, and what was expected of it there.
struct Placement {
    let endpoint: EndpointID
    let started: Instant
    var firstToken: Instant?
    /// The endpoint's totals when it started, at its first token, and when its progress was last heard of.
    let atStart: LoadHistory.Reading
    var atFirstToken: LoadHistory.Reading?
    var lastHeard: LoadHistory.Reading
    /// Its tokens when it was last heard of.
    var tokensHeard = 0
    /// Prompt tokens that were expected in the endpoint's cache.
    let cachedPromptTokens: Int
    /// Blocks of its prompt that were found in the index for the endpoint.
    let cachedBlocks: Int
    /// How near to eviction the last of those was; see `PrefixIndex.insert`.
    let ageShare: Double
    /// What its latency depended on when it was sent.
    let features: LatencyFeatures
    /// The predicted time to first token, in milliseconds.
    let predictedTTFTMilliseconds: Double
    /// What its time per output token depended on at its first token, and what was predicted from that, in milliseconds.
    var output: (features: LatencyFeatures, predictedTPOTMilliseconds: Double)?
}
