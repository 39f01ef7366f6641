import Basics

/// How tenants fared beside one that sends ten times as much, and a low band beside a high one that fills the pool.
public struct FairnessFigures: Hashable, Sendable {
    /// p99 of the steady tenants' time to first token without the aggressor, in milliseconds.
    public let aloneTTFT99Milliseconds: Double
    /// The same with it.
    public let besideTTFT99Milliseconds: Double
    /// Requests of the steady tenants turned away beside the aggressor.
    public let othersRejected: Int
    /// Jain's index of the tokens served to the tenants that asked for more than they got, where all flood the pool
    /// with demands that differ by a factor of eight; 1 is equal.
    public let jainIndex: Double
    /// Tenants that this index is of.
    public let backloggedTenants: Int
    /// The longest time to first token in the low band while the high band fills the pool, in seconds.
    public let lowBandLongestWaitSeconds: Double
    /// The share of the low band's requests that were turned away.
    public let lowBandRejected: Double

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
    /// - Parameters: the same tenants alone and beside the aggressor; all tenants flooding; two bands.
    init(alone: FinishedWorld, beside: FinishedWorld, flood: FinishedWorld, bands: FinishedWorld) {
        let others = FairnessTraffic.isSteady
        let shares = Self.backloggedShares(flood)
        let low = bands.fleet.requests.indices.filter { bands.fleet.priority($0) == FairnessTraffic.lowBand }
        let waits = low.filter { bands.fleet.requests[$0].state == .finished }
            .map { bands.fleet.requests[$0].ttftMilliseconds / 1000 }
        self.init(
            aloneTTFT99Milliseconds: Self.ttft99(alone, of: others),
            besideTTFT99Milliseconds: Self.ttft99(beside, of: others),
            othersRejected: beside.fleet.requests.indices.count {
                others(beside.fleet.flow($0)) && beside.fleet.requests[$0].state == .rejected
            },
            jainIndex: Self.jain(shares), backloggedTenants: shares.count,
            lowBandLongestWaitSeconds: waits.max() ?? 0,
            lowBandRejected: Double(low.count - waits.count) / Double(max(low.count, 1)))
    }

    private static func ttft99(_ world: FinishedWorld, of isMember: (String) -> Bool) -> Double {
        let fleet = world.fleet
        let ids = fleet.requests.indices.filter { isMember(fleet.flow($0)) && fleet.requests[$0].state == .finished }
        return Percentiles(ids.map { fleet.requests[$0].ttftMilliseconds }).value(at: 0.99) ?? 0
    }

    /// Tokens finished while the flood lasted, after it had built up, of each tenant that asked for a tenth more.
    private static func backloggedShares(_ world: FinishedWorld) -> [Double] {
        let fleet = world.fleet
        var asked: [String: Double] = [:]
        var served: [String: Double] = [:]
        let from = Instant.zero + FairnessTraffic.buildUp
        for id in fleet.requests.indices {
            let request = fleet.requests[id]
            let tokens = Double(request.promptTokens + request.outputTokens)
            if request.arrival >= from { asked[fleet.flow(id), default: 0] += tokens }
            if request.state == .finished, request.finished >= from, request.finished <= world.traceEnd {
                served[fleet.flow(id), default: 0] += tokens
            }
        }
        return asked.keys.sorted().compactMap { flow in
            let got = served[flow] ?? 0
            return (asked[flow] ?? 0) > 1.1 * got ? got : nil
        }
    }
}
