public import Basics

/// How requests wait in front of a pool, and when they do: everything that admission is told once.
public struct AdmissionConfiguration: Hashable, Sendable {
    /// The policy of bands of priority zero and above that have none of their own.
    public var realtimeBand: BandPolicy
    /// The policy of bands below zero that have none of their own. By default batch work goes by deadline alone.
    public var sheddableBand: BandPolicy
    /// Policies of single priorities.
    public var bands: [Int: BandPolicy]
    /// What may wait in all bands together. A real-time request that meets one of these limits takes the place of
    /// sheddable ones.
    public var totalLimits: WaitingLimits
    /// The most different priorities that may wait at once; a bound on memory, since callers name objectives.
    public var maxBands: Int
    /// The most flows that a band tells apart; the others share one. A bound on memory, since callers name flows.
    public var maxFlowsPerBand: Int
    /// How long a request may wait unless its band, or itself, allows less.
    public var timeToLive: TimeSpan
    /// How long it may wait while no endpoint is up; nil: `timeToLive` goes on counting.
    public var noEndpointTimeToLive: TimeSpan?
    /// After how long a flow that has nothing waiting is forgotten, with what it has overdrawn.
    public var idleFlowTimeout: TimeSpan
    /// What an output token costs in input tokens. 2 is what the literature charges (Sheng et al., "Fairness in serving
    /// large language models", 2024).
    public var outputTokenWeight: Double
    /// The tokens that a flow of weight 1 gets per turn: the grain of fairness.
    public var quantumTokens: Double
    /// Shares of flows relative to 1, by name.
    public var flowWeights: [String: Double]
    /// How much later first tokens may come because of flows that get far more than the others of their band, as a share
    /// of the time that they take; nil: such flows start as much as fits. See `IsolationGate`.
    public var isolationTolerance: Double?
    /// What tells whether the pool is saturated.
    public var saturation: SaturationDetector
    /// From which saturation on bands have to wait.
    public var usageLimit: UsageLimitPolicy
    /// How deadlines that cannot be kept are told at the door.
    public var feasibility: DeadlineFeasibility

    /// Creates a configuration with the defaults that the parameters name.
    public init(
        maxRequestsPerBand: Int = 1000, maxBytesPerBand: Int = 256 << 20, maxBands: Int = 64,
        timeToLive: TimeSpan = .seconds(30)
    ) {
        let limits = WaitingLimits(requests: maxRequestsPerBand, bytes: maxBytesPerBand)
        realtimeBand = BandPolicy(limits: limits)
        sheddableBand = BandPolicy(limits: limits, fairness: .strict, ordering: .earliestDeadline)
        bands = [:]
        totalLimits = WaitingLimits()
        self.maxBands = maxBands
        maxFlowsPerBand = 1024
        self.timeToLive = timeToLive
        noEndpointTimeToLive = nil
        idleFlowTimeout = .seconds(300)
        outputTokenWeight = 2
        quantumTokens = 2048
        flowWeights = [:]
        isolationTolerance = nil
        saturation = .predictive(PredictiveDetector())
        usageLimit = .fixed(ceiling: 1)
        feasibility = DeadlineFeasibility()
    }

    /// The policy of the band of `priority`.
    public func policy(of priority: Int) -> BandPolicy {
        bands[priority] ?? (priority >= 0 ? realtimeBand : sheddableBand)
    }

    /// How long a request may wait in a band by the pool's and the band's word.
    public func timeToLive(inBand policy: BandPolicy) -> TimeSpan {
        max(.zero, min(policy.timeToLive ?? timeToLive, timeToLive))
    }
}

extension AdmissionConfiguration {
    /// What is wrong with the configuration, a sentence each; empty if it can be used.
    public var problems: [String] {
        var problems: [String] = []
        func check(_ holds: Bool, _ sentence: String) { if !holds { problems.append(sentence) } }
        check((1...4096).contains(maxBands), "The number of bands must be between 1 and 4096, not \(maxBands).")
        check(
            (1...1_000_000).contains(maxFlowsPerBand),
            "The number of flows per band must be between 1 and 1000000, not \(maxFlowsPerBand).")
        check(
            bands.count <= maxBands,
            "\(bands.count) bands have policies of their own, but only \(maxBands) may wait at once.")
        check(timeToLive > .zero, "The time to live must be more than zero.")
        check(
            noEndpointTimeToLive.map { $0 > .zero } ?? true,
            "The time to live without endpoints must be more than zero.")
        check(idleFlowTimeout > .zero, "The time after which an idle flow is forgotten must be more than zero.")
        check(
            outputTokenWeight >= 0 && outputTokenWeight <= 1000,
            "The weight of an output token must be between 0 and 1000, not \(outputTokenWeight).")
        check(
            quantumTokens >= 1 && quantumTokens <= 1e9,
            "The quantum must be between 1 and 1000000000 tokens, not \(quantumTokens).")
        check(
            isolationTolerance.map { $0 >= 0 && $0 <= 1000 } ?? true,
            "The isolation tolerance must be between 0 and 1000.")
        for (name, weight) in flowWeights.sorted(by: { $0.key < $1.key }) {
            check(
                weight >= 0.001 && weight <= 1000,
                "The weight of flow '\(name)' must be between 0.001 and 1000, not \(weight).")
        }
        problems += totalLimits.problems(of: "all bands together")
        problems += realtimeBand.problems(of: "real-time bands")
        problems += sheddableBand.problems(of: "sheddable bands")
        for (priority, policy) in bands.sorted(by: { $0.key < $1.key }) {
            problems += policy.problems(of: "the band of priority \(priority)")
        }
        let promised = [true, false].map { realtime in
            bands.filter { ($0.key >= 0) == realtime }.values.reduce(0) { $0 + $1.minimumShare }
        }
        check(promised.allSatisfy { $0 < 1 }, "The minimum shares of bands must add up to less than 1.")
        return problems + saturation.problems + usageLimit.problems + feasibility.problems
    }
}

extension WaitingLimits {
    func problems(of owner: String) -> [String] {
        [("requests", requests), ("bytes", bytes), ("tokens", tokens)].compactMap { name, limit in
            guard let limit, limit < 0 else { return nil }
            return "The limit on \(name) of \(owner) must not be negative."
        }
    }
}

extension BandPolicy {
    func problems(of owner: String) -> [String] {
        var problems = limits.problems(of: owner)
        if let timeToLive, timeToLive <= .zero {
            problems.append("The time to live of \(owner) must be more than zero.")
        }
        if let ageingBound, ageingBound < .zero {
            problems.append("The ageing bound of \(owner) must not be negative.")
        }
        if !(minimumShare >= 0 && minimumShare < 1) {
            problems.append("The minimum share of \(owner) must be at least 0 and less than 1, not \(minimumShare).")
        }
        return problems
    }
}
