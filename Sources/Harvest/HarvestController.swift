public import Basics
public import Pool

/// Decides how much batch work one endpoint can carry beside its real-time work.
///
/// Everything is judged from the gateway's own counters, at the moment of the decision (shared reference `workloads.md`
/// D.5): a cap on requests in flight from the step-time budget, a bucket for prompt tokens, a guard on the KV cache, and a
/// brake that calls batch work back when real-time work surges.
public struct HarvestController: Sendable {
    private let configuration: HarvestConfiguration
    private var rises = RiseTracker()
    private var realtimePromptTokens = RateEstimate(timeConstant: .seconds(2))
    private var prefillBucket: TokenBucket
    private var residenceSeconds = 5.0
    private var harvestedTokens = 0.0
    private var abortedTokens = 0.0
    /// How many times faster than its configured constants the endpoint has proved to be (`SpeedEvidence`); its capacity
    /// is to say the same.
    public var speedFactor = 1.0

    /// Creates the controller of one endpoint.
    public init(configuration: HarvestConfiguration, now: Instant) {
        self.configuration = configuration
        prefillBucket = TokenBucket(capacity: configuration.prefillBurstTokens, refillPerSecond: 0, now: now)
    }

    // MARK: Observations

    /// Counts the prompt of a real-time request that was placed on the endpoint.
    public mutating func realtimePlaced(_ demand: RequestDemand, now: Instant) {
        realtimePromptTokens.add(Double(demand.uncachedPromptTokens), now: now)
    }

    /// Charges a batch request that was placed on the endpoint.
    public mutating func batchPlaced(_ demand: RequestDemand, now: Instant) {
        prefillBucket.take(Double(demand.uncachedPromptTokens), now: now)
    }

    /// Counts a batch request that was served.
    public mutating func batchFinished(tokens: Int, residence: TimeSpan) {
        harvestedTokens += Double(tokens)
        residenceSeconds += 0.05 * (residence.seconds - residenceSeconds)
    }

    /// Counts the work thrown away with a batch request that was called back.
    public mutating func batchAborted(lostTokens: Int) {
        abortedTokens += Double(lostTokens)
    }

    /// Samples the load; to be called every 50 to 250 ms.
    public mutating func tick(load: EndpointLoad, now: Instant) {
        rises.observe(
            realtimeRequests: load.realtimeRequests, residence: .seconds(residenceSeconds),
            quantile: configuration.reserveQuantile, now: now)
    }

    // MARK: Decisions

    /// Whether one more batch request of `demand` may start on `endpoint` now, and the figures behind the answer.
    ///
    /// - Parameter oldestSilence: how long the oldest real-time request there has waited for its first token.
    public mutating func judge(
        _ demand: RequestDemand, on endpoint: Endpoint, oldestSilence: TimeSpan, now: Instant
    ) -> HarvestState {
        let load = endpoint.load
        let steps = StepBudget(configuration: configuration, endpoint: endpoint, now: now)
        let cost = steps.cost(of: demand)
        let further = (steps.left - steps.costOfRealtime(requests: rises.reserve)) / cost
        var allowed = max(0, load.sheddableRequests + Int(further.rounded(.down)))
        // An idle endpoint takes one whatever it costs: nobody is there to be slowed down.
        let isIdle = load.requests == 0 && endpoint.foreignLoad.requests(now: now) == 0
        if isIdle { allowed = max(1, allowed) }
        if let limit = configuration.maxInFlightPerEndpoint { allowed = min(allowed, limit) }
        var state = HarvestState(
            requestCap: max(0, Double(load.requests) + steps.left / cost), reserve: rises.reserve,
            allowedBatchRequests: allowed, limit: nil, speedFactor: speedFactor)
        if !configuration.isEnabled {
            state.limit = .disabled
        } else if !endpoint.accepts(demand, now: now) {
            state.limit = .endpoint
        } else if isSurging(steps, oldestSilence: oldestSilence) {
            state.limit = .brake
        } else if load.sheddableRequests >= allowed {
            state.limit = .stepTime
        } else if prefillLevel(of: endpoint, now: now) <= 0, !(isIdle && speedFactor > 1) {
            // A bucket that fills within microseconds is not waited for with nothing in flight whose end would call.
            state.limit = .prefill
        } else if !isIdle, let kvTokens = endpoint.capacity.kvTokens,
            Double(load.reservedKVTokens + demand.kvTokens) > configuration.kvShare * Double(kvTokens)
        {
            state.limit = .kvCache
        }
        if state.limit == .disabled || state.limit == .brake { state.allowedBatchRequests = 0 }
        return state
    }

    /// How many batch requests should be called back from `endpoint` now; zero unless real-time work surges.
    public func requestsToCallBack(from endpoint: Endpoint, oldestSilence: TimeSpan, now: Instant) -> Int {
        let load = endpoint.load
        guard load.sheddableRequests > 0 else { return 0 }
        let steps = StepBudget(configuration: configuration, endpoint: endpoint, now: now)
        guard isSurging(steps, oldestSilence: oldestSilence), steps.left < 0 else { return 0 }
        let typical = RequestDemand(
            promptTokens: load.sheddableContextTokens / load.sheddableRequests, expectedOutputTokens: 0)
        return min(load.sheddableRequests, Int((-steps.left / steps.cost(of: typical)).rounded(.up)))
    }

    /// Whether `lostTokens` more may be thrown away within the waste limit.
    public func mayWaste(lostTokens: Int) -> Bool {
        abortedTokens + Double(lostTokens) <= configuration.abortedTokenShare * (harvestedTokens + 100_000)
    }

    /// Whether a real-time request has waited so long for its first token that its limit is in danger.
    public func isTooSilent(_ oldestSilence: TimeSpan) -> Bool {
        oldestSilence.milliseconds > configuration.ttftLimitMilliseconds / 2
    }

    private func isSurging(_ steps: StepBudget, oldestSilence: TimeSpan) -> Bool {
        guard steps.realtimeRequests > 0 else { return false }
        return steps.leftOfRealtime < 0 || isTooSilent(oldestSilence)
    }

    private mutating func prefillLevel(of endpoint: Endpoint, now: Instant) -> Double {
        let perToken = max(endpoint.capacity.stepTime.perPrefillTokenMilliseconds, 1e-9)
        let share = configuration.prefillShare / perToken * 1000
        prefillBucket.refillPerSecond = share - realtimePromptTokens.perSecond(now: now)
        return prefillBucket.level(now: now)
    }
}
