import Basics

/// How tenants fared beside one that sends ten times as much, and a low band beside a high one that fills the pool.
public struct FairnessFigures: Hashable, Sendable {
    /// p99 of the steady tenants' time to first token without the aggressor, in milliseconds.
    public let aloneTTFT99Milliseconds: Double
    /// The same with it.
    public let besideTTFT99Milliseconds: Double
    /// Requests of the steady tenants turned away beside the aggressor.
    public let othersRejected: Int
    /// What the protection of the others costs: the share of what the aggressor asked for that it got, in tokens.
    public let aggressorServed: Double
    /// Prompt and output tokens per second of all requests that were complete by the end of the trace, beside it.
    public let besideTokensPerSecond: Double
    /// Jain's index of the tokens served to the tenants that had requests waiting all the time, where all flood the pool
    /// with demands that differ by a factor of eight; 1 is equal. Tokens count as the scheduler weighs them: uncached ones of
    /// the prompt, and generated ones twice.
    public let jainIndex: Double
    /// Tenants that this index is of.
    public let backloggedTenants: Int
    /// How the low band fared while the high band filled the pool.
    public let lowBand: LowBand
    /// The same with a bound on its wait (`FairnessTraffic.ageingBound`); nil where a policy knows none.
    public let ageingLowBand: LowBand?

    /// A band below another one that wants more than the pool has.
    public struct LowBand: Hashable, Sendable {
        /// The longest time to first token of those that were served, in seconds.
        public let longestWaitSeconds: Double
        /// The share of its requests that were turned away.
        public let rejected: Double
    }

    /// By how much the aggressor moved the others' p99 TTFT: 0.1 is ten per cent.
    public var inflation: Double {
        aloneTTFT99Milliseconds > 0 ? besideTTFT99Milliseconds / aloneTTFT99Milliseconds - 1 : 0
    }

    /// Jain's fairness index, `(Σx)² / (n Σx²)` (Jain, Chiu and Hawe, DEC TR-301, 1984); 1 for nothing.
    static func jain(_ shares: [Double]) -> Double {
        let squares = shares.reduce(0) { $0 + $1 * $1 }
        let sum = shares.reduce(0, +)
        return squares > 0 ? sum * sum / (Double(shares.count) * squares) : 1
    }
}

extension FairnessFigures {
    /// - Parameters: the same tenants alone and beside the aggressor; all tenants flooding; two bands, the low one also
    ///   with a bound on its wait.
    init(
        alone: FinishedWorld, beside: FinishedWorld, flood: FinishedWorld, bands: FinishedWorld, ageing: FinishedWorld?
    ) {
        let others = FairnessTraffic.isSteady
        let shares = Self.backloggedShares(flood)
        self.init(
            aloneTTFT99Milliseconds: Self.ttft99(alone, of: others),
            besideTTFT99Milliseconds: Self.ttft99(beside, of: others),
            othersRejected: beside.fleet.requests.indices.count {
                others(beside.fleet.flow($0)) && beside.fleet.requests[$0].state == .rejected
            },
            aggressorServed: Self.served(beside) { !others($0) },
            besideTokensPerSecond: Self.tokensPerSecond(beside),
            jainIndex: Self.jain(shares), backloggedTenants: shares.count,
            lowBand: LowBand(bands), ageingLowBand: ageing.map { LowBand($0) })
    }

    private static func served(_ world: FinishedWorld, of isMember: (String) -> Bool) -> Double {
        var tokens = (asked: 0.0, served: 0.0)
        for id in world.fleet.requests.indices where isMember(world.fleet.flow(id)) {
            let request = world.fleet.requests[id]
            tokens.asked += Double(request.promptTokens + request.outputTokens)
            if request.state == .finished { tokens.served += Double(request.promptTokens + request.outputTokens) }
        }
        return tokens.asked > 0 ? tokens.served / tokens.asked : 0
    }

    private static func tokensPerSecond(_ world: FinishedWorld) -> Double {
        let complete = world.fleet.requests.filter { $0.state == .finished && $0.finished <= world.traceEnd }
        let tokens = complete.reduce(0.0) { $0 + Double($1.promptTokens + $1.outputTokens) }
        return tokens / max(world.traceEnd.seconds, 1e-9)
    }

    private static func ttft99(_ world: FinishedWorld, of isMember: (String) -> Bool) -> Double {
        let fleet = world.fleet
        let ids = fleet.requests.indices.filter { isMember(fleet.flow($0)) && fleet.requests[$0].state == .finished }
        return Percentiles(ids.map { fleet.requests[$0].ttftMilliseconds }).value(at: 0.99) ?? 0
    }

    /// What each tenant was served while the flood lasted, after it had built up, of those that were backlogged all the
    /// time.
    private static func backloggedShares(_ world: FinishedWorld) -> [Double] {
        let fleet = world.fleet
        let buildUp = (world.traceEnd - Instant.zero) * FairnessTraffic.buildUpShare
        let window = BackloggedService(from: Instant.zero + buildUp, to: world.traceEnd)
        return window.costs(
            of: fleet.requests.indices.map { id in
                let request = fleet.requests[id]
                return BackloggedService.Request(
                    flow: fleet.flow(id), arrival: request.arrival, waitEnded: request.waitEnded,
                    answered: request.state == .finished ? (request.firstToken, request.finished) : nil,
                    promptCost: Double(request.promptTokens - request.cachedTokens),
                    answerCost: FairnessTraffic.outputTokenWeight * Double(request.outputTokens))
            })
    }
}

extension FairnessFigures.LowBand {
    fileprivate init(_ world: FinishedWorld) {
        let fleet = world.fleet
        let low = fleet.requests.indices.filter { fleet.priority($0) == FairnessTraffic.lowBand }
        let waits = low.filter { fleet.requests[$0].state == .finished }.map { fleet.requests[$0].ttftMilliseconds }
        self.init(
            longestWaitSeconds: (waits.max() ?? 0) / 1000,
            rejected: Double(low.count - waits.count) / Double(max(low.count, 1)))
    }
}
