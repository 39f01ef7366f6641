public import Basics

/// What is known of the size and the speed of one endpoint: configured, taken from a preset, or read from its metrics.
public struct EndpointCapacity: Hashable, Sendable {
    /// The belief about its step time.
    public var stepTime: StepTimeModel
    /// Tokens that its KV cache holds; nil if unknown, and then not guarded.
    public var kvTokens: Int?
    /// The most requests it is given at once, of both classes.
    public var maxConcurrentRequests: Int

    /// Creates a capacity.
    public init(stepTime: StepTimeModel, kvTokens: Int?, maxConcurrentRequests: Int) {
        self.stepTime = stepTime
        self.kvTokens = kvTokens
        self.maxConcurrentRequests = maxConcurrentRequests
    }

    /// Whether one more request of `demand` fits beside the load of an endpoint that is up and has, besides, requests in
    /// flight that others have sent it; see `Endpoint.accepts`.
    public func accepts(_ demand: RequestDemand, beside load: EndpointLoad, foreignRequests: Int) -> Bool {
        let inFlight = load.requests + foreignRequests
        guard inFlight < maxConcurrentRequests else { return false }
        guard let kvTokens, inFlight > 0 else { return true }
        return load.reservedKVTokens + demand.kvTokens <= kvTokens
    }
}
