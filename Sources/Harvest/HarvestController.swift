public import Basics
public import Pool

/// Decides how much batch work one endpoint can carry beside its real-time work.
///
/// Everything is judged from the gateway's own counters and the learned constants of the endpoint, at the moment of the
/// decision (shared reference `workloads.md` D.5): the time that a token may take on average is a budget, of which the
/// requests in flight, the recent rises of real-time work and its prompts each take their part; a bucket spreads batch
/// prompts, a guard keeps the KV cache from filling up, and a brake calls batch work back when real-time work surges.
/// The slow loop (`HarvestMargin`) learns how much of the budget is safe to use.
public struct HarvestController: Sendable {
    /// The share of the TTFT limit for which a real-time request may be silent before the brake acts, whatever its prompt.
    private static let silenceShare = 0.7
    /// What one spoilt real-time request weighs at most, in batch requests begun in vain.
    private static let dearestMiss = 50.0
    /// How long nothing starts after a surge at full caution, in TTFT limits: one for the first tokens of its requests, and
    /// half as much for the rest of their answers.
    private static let settlingShare = 1.5
    /// As if so many tokens had been harvested before the start, in tokens: the first surge is no reason to let it pass
    /// that nothing has been harvested yet.
    private static let creditTokens = 1e6
    /// While the endpoint's pace is not known from its answers, this share of the time per token is used of what would be.
    private static let unknownPaceShare = 0.5
    /// While real-time work is there, an endpoint carries at most so many times the requests at which its pace was seen:
    /// what more of them cost is a guess of the prior's, and it may be off by far.
    private static let stepIntoTheUnknown = 2.0
    /// So many requests are carried by any engine.
    private static let alwaysCarried = 4.0
    /// Real-time work is there while this many of its prompt tokens come per second.
    private static let fewestPromptTokensPerSecond = 1.0
    private let configuration: HarvestConfiguration
    private var margin: HarvestMargin
    private var rises = RiseTracker()
    private var realtimePromptTokens = RateEstimate(timeConstant: .seconds(2))
    /// Full when the endpoint is first looked at.
    private var prefillBucket: TokenBucket?
    private var answerLengths = AnswerLengths()
    /// When real-time work last surged.
    private var surged: Instant?
    private var residenceSeconds = 5.0
    private var meanPromptTokens = 0.0
    private var meanOutputTokens = 0.0
    private var harvestedTokens = 0.0
    private var abortedTokens = 0.0
    /// Whether the constants of the endpoint's step time come from what it has done.
    public var isPaceKnown = false
    /// The most requests together at which the endpoint's step time has been seen.
    public var requestsOfKnownPace = 0.0
    /// How many times faster than its prior the endpoint has proved to be; for reports only.
    public var speedFactor = 1.0

    /// Creates the controller of one endpoint.
    public init(configuration: HarvestConfiguration, now: Instant) {
        self.configuration = configuration
        margin = HarvestMargin(configuration: configuration)
    }

    // MARK: Observations

    /// Counts the prompt of a real-time request that was placed on the endpoint.
    public mutating func realtimePlaced(_ demand: RequestDemand, now: Instant) {
        realtimePromptTokens.add(Double(demand.uncachedPromptTokens), now: now)
    }

    /// Counts a real-time request that was served, and how much of its time was batch work's.
    public mutating func realtimeFinished(_ outcome: RealtimeOutcome) {
        margin.observe(outcome)
        // One token takes no time after the first.
        if outcome.outputTokens > 1 { answerLengths.observe(tokens: outcome.outputTokens) }
    }

    /// Charges a batch request that was placed on the endpoint.
    public mutating func batchPlaced(_ demand: RequestDemand, now: Instant) {
        prefillBucket?.take(Double(demand.uncachedPromptTokens), now: now)
        if meanOutputTokens == 0 { learnLengths(demand.uncachedPromptTokens, demand.expectedOutputTokens) }
    }

    /// Counts a batch request that was served.
    public mutating func batchFinished(uncachedPromptTokens: Int, outputTokens: Int, residence: TimeSpan) {
        harvestedTokens += Double(uncachedPromptTokens) + Double(outputTokens)
        residenceSeconds += 0.05 * (residence.seconds - residenceSeconds)
        learnLengths(uncachedPromptTokens, outputTokens)
    }

    /// Counts the work thrown away with a batch request that was called back.
    public mutating func batchAborted(lostTokens: Int) {
        abortedTokens += Double(lostTokens)
    }

    /// Samples the load; to be called every 50 to 250 ms.
    public mutating func tick(endpoint: Endpoint, backlog: RealtimeBacklog, now: Instant) {
        let steps = budget(endpoint, backlog, now: now)
        rises.observe(
            steps.realtimeMilliseconds, residence: .seconds(residenceSeconds),
            quantile: configuration.reserveQuantile, now: now)
    }

    // MARK: Decisions

    /// Whether one more batch request of `demand` may start on `endpoint` now, and the figures behind the answer.
    public mutating func judge(
        _ demand: RequestDemand, on endpoint: Endpoint, backlog: RealtimeBacklog, now: Instant
    ) -> HarvestState {
        let load = endpoint.load
        let steps = budget(endpoint, backlog, now: now)
        let cost = cost(of: demand, steps, endpoint)
        let further = ((steps.left - rises.reserve) / cost).rounded(.down)
        var allowed = max(0, load.sheddableRequests + Int(min(max(further, -1e6), 1e6)))
        // An idle endpoint takes one whatever it costs: nobody is there to be slowed down.
        let isIdle = load.requests == 0 && endpoint.foreignLoad.requests(now: now) == 0
        if isIdle { allowed = max(1, allowed) }
        if realtimePromptTokens.perSecond(now: now) >= Self.fewestPromptTokensPerSecond {
            let carried = max(Self.alwaysCarried, Self.stepIntoTheUnknown * requestsOfKnownPace)
            allowed = min(allowed, max(0, Int(min(carried, 1e6)) - load.realtimeRequests))
        }
        if let limit = configuration.maxInFlightPerEndpoint { allowed = min(allowed, limit) }
        var state = HarvestState(
            requestCap: max(0, Double(load.requests) + steps.left / cost), reserveMilliseconds: rises.reserve,
            allowedBatchRequests: allowed, limit: nil, speedFactor: speedFactor, caution: margin.caution)
        if !configuration.isEnabled {
            state.limit = .disabled
        } else if !endpoint.accepts(demand, now: now) {
            state.limit = .endpoint
        } else if isSurging(endpoint, backlog, now: now) || isSettling(now: now) {
            state.limit = .brake
        } else if load.sheddableRequests >= allowed {
            state.limit = .stepTime
        } else if prefillLevel(of: endpoint, steps, now: now) <= 0, !isIdle {
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
    public mutating func requestsToCallBack(
        from endpoint: Endpoint, backlog: RealtimeBacklog, now: Instant
    ) -> Int {
        let load = endpoint.load
        guard load.sheddableRequests > 0 else { return 0 }
        if isSurging(endpoint, backlog, now: now) { return load.sheddableRequests }
        let steps = budget(endpoint, backlog, now: now)
        guard steps.realtimeRequests > 0 else { return 0 }
        // Beyond the limit itself, not just beyond the share of it that is used in calm times.
        guard steps.millisecondsPerToken > configuration.tpotLimitMilliseconds else { return 0 }
        let typical = RequestDemand(
            promptTokens: load.sheddableContextTokens / load.sheddableRequests, expectedOutputTokens: 0)
        let cost = cost(of: typical, steps, endpoint)
        return min(load.sheddableRequests, Int(min(max(-steps.left / cost, 0).rounded(.up), 1e6)))
    }

    /// Whether `lostTokens` more may be thrown away within the waste limit.
    public func mayWaste(lostTokens: Int) -> Bool { abortedTokens + Double(lostTokens) <= wasteLimit }

    /// The tokens that may be thrown away, those that have been included.
    private var wasteLimit: Double { margin.wasteShare * (harvestedTokens + Self.creditTokens) }

    /// Whether the real-time requests without a first token will hardly get theirs in time beside batch work.
    private mutating func isSurging(_ endpoint: Endpoint, _ backlog: RealtimeBacklog, now: Instant) -> Bool {
        let prompts = Double(backlog.promptTokens) * endpoint.capacity.stepTime.perPrefillTokenMilliseconds
        let isLate =
            prompts > margin.brakeShare * configuration.ttftLimitMilliseconds
            || backlog.oldestSilence.milliseconds > Self.silenceShare * configuration.ttftLimitMilliseconds
        guard isLate || spoils(endpoint, backlog, promptMilliseconds: prompts) else { return false }
        surged = now
        return true
    }

    /// Whether the batch requests aboard will probably spoil more real-time requests than they are worth.
    ///
    /// While prompts wait, every step is full of them, and a step that is full is as long as tokens may take, or nearly:
    /// with batch decodes in it, it is too long. A request all of whose tokens come from such steps misses its limit. So
    /// those suffer whose answers are shorter than the steps that the waiting prompts will fill; of these steps a request
    /// whose own prompt waits sees half, on average. What a spoilt request is worth in batch requests begun in vain grows
    /// with caution, and sinks as the tokens that may be thrown away run out: they are spent where they help most.
    private func spoils(_ endpoint: Endpoint, _ backlog: RealtimeBacklog, promptMilliseconds: Double) -> Bool {
        let decoding = Double(max(0, endpoint.load.realtimeRequests - backlog.requests))
        let limit = configuration.tpotLimitMilliseconds
        let promptsPerStep = max(limit - endpoint.capacity.stepTime.baseMilliseconds, 0.2 * limit)
        let spoilt =
            (decoding + Double(backlog.requests) / 2)
            * answerLengths.shareBelow(promptMilliseconds / promptsPerStep)
        let price = max(1, margin.caution * Self.dearestMiss * (1 - abortedTokens / max(wasteLimit, 1)))
        return spoilt * price > Double(endpoint.load.sheddableRequests)
    }

    /// Whether a surge is so recent that its requests probably still run, or another follows.
    private func isSettling(now: Instant) -> Bool {
        guard let surged else { return false }
        return (now - surged).milliseconds < margin.caution * Self.settlingShare * configuration.ttftLimitMilliseconds
    }

    // MARK: Figures

    private func budget(_ endpoint: Endpoint, _ backlog: RealtimeBacklog, now: Instant) -> StepBudget {
        let perToken = endpoint.capacity.stepTime.perPrefillTokenMilliseconds
        let recent = realtimePromptTokens.perSecond(now: now) * perToken / 1000
        let ahead = Double(backlog.promptTokens) * perToken / configuration.ttftLimitMilliseconds
        return StepBudget(
            endpoint: endpoint, allowed: stepShare * configuration.tpotLimitMilliseconds,
            prefillShare: min(1, max(recent, ahead)),
            promptPerOutput: meanOutputTokens > 0 ? meanPromptTokens / meanOutputTokens : 0, now: now)
    }

    private var stepShare: Double { margin.stepShare * (isPaceKnown ? 1 : Self.unknownPaceShare) }

    private func cost(of demand: RequestDemand, _ steps: StepBudget, _ endpoint: Endpoint) -> Double {
        let cost = steps.cost(of: demand)
        guard meanOutputTokens == 0 else { return cost }
        let perOutput = Double(demand.uncachedPromptTokens) / Double(max(1, demand.expectedOutputTokens))
        return cost + endpoint.capacity.stepTime.perPrefillTokenMilliseconds * perOutput
    }

    private mutating func learnLengths(_ promptTokens: Int, _ outputTokens: Int) {
        let share = meanOutputTokens == 0 ? 1 : 0.02
        meanPromptTokens += share * (Double(promptTokens) - meanPromptTokens)
        meanOutputTokens = max(1, meanOutputTokens + share * (Double(outputTokens) - meanOutputTokens))
    }

    private mutating func prefillLevel(of endpoint: Endpoint, _ steps: StepBudget, now: Instant) -> Double {
        let perToken = max(endpoint.capacity.stepTime.perPrefillTokenMilliseconds, 1e-9)
        let burst = configuration.prefillBurstMilliseconds / perToken
        var bucket = prefillBucket ?? TokenBucket(capacity: burst, refillPerSecond: 0, now: now)
        bucket.capacity = burst
        bucket.refillPerSecond = min(configuration.prefillShare, steps.sheddablePrefillShare) / perToken * 1000
        let level = bucket.level(now: now)
        prefillBucket = bucket
        return level
    }
}
