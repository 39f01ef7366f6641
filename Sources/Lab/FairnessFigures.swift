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
    /// Jain's index of the tokens served to the tenants that wanted more all the time, where all flood the pool with
    /// demands that differ by a factor of eight; 1 is equal. Tokens count as the scheduler weighs them: uncached ones of
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

    /// What each tenant got while the flood lasted, after it had built up, of those that had asked for a tenth more than
    /// they had got at every moment of it.
    private static func backloggedShares(_ world: FinishedWorld) -> [Double] {
        let fleet = world.fleet
        let from = Instant.zero + FairnessTraffic.buildUp
        let bins = max(0, Int((world.traceEnd - from).seconds))
        var asked: [String: [Double]] = [:]
        var served: [String: [Double]] = [:]
        var shares: [String: Double] = [:]
        /// Everything until the first moment that is looked at, and then a bin per second.
        func bin(_ time: Instant) -> Int { max(0, Int(((time - from).seconds).rounded(.up))) }
        for id in fleet.requests.indices {
            let request = fleet.requests[id]
            let flow = fleet.flow(id)
            let cost =
                Double(request.promptTokens - request.cachedTokens)
                + FairnessTraffic.outputTokenWeight * Double(request.outputTokens)
            let none = Array(repeating: 0.0, count: bins + 1)
            if bin(request.arrival) <= bins { asked[flow, default: none][bin(request.arrival)] += cost }
            guard request.state == .finished, bin(request.finished) <= bins else { continue }
            served[flow, default: none][bin(request.finished)] += cost
            if request.finished >= from { shares[flow, default: 0] += cost }
        }
        return asked.keys.sorted().compactMap { flow in
            var sums = (asked: 0.0, served: 0.0)
            for bin in 0...bins {
                sums.asked += asked[flow]?[bin] ?? 0
                sums.served += served[flow]?[bin] ?? 0
                guard sums.asked > 1.1 * sums.served else { return nil }
            }
            return shares[flow] ?? 0
        }
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
