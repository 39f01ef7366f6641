import Basics
import EngineModel

/// How well real-time requests were spread over the replicas.
public struct RoutingFigures: Hashable, Sendable {
    /// Mean time to first token, in milliseconds.
    public let ttftMeanMilliseconds: Double
    /// Mean over requests of their mean time per token after the first, in milliseconds.
    public let tpotMeanMilliseconds: Double
    /// Mean time from arrival to the last token, in milliseconds.
    public let endToEndMeanMilliseconds: Double
    /// Prompt tokens that the engines found in their prefix caches, as a share of all they looked up.
    public let prefixHitRatio: Double
    /// Tokens computed by the busiest replica over the mean of all: 1 is even.
    public let imbalance: Double
}

extension RoutingFigures {
    init(_ world: FinishedWorld) {
        let fleet = world.fleet
        let finished = fleet.requests[..<fleet.realtimeCount].filter { $0.state == .finished }
        func mean(_ values: [Double]) -> Double { values.isEmpty ? 0 : values.reduce(0, +) / Double(values.count) }
        var computed = Array(repeating: 0.0, count: fleet.engines.count)
        for request in finished {
            computed[Int(request.replica)] += Double(
                request.promptTokens - request.cachedTokens + request.outputTokens)
        }
        let queried = fleet.engines.reduce(0) { $0 + $1.load.prefixQueryTokens }
        let hit = fleet.engines.reduce(0) { $0 + $1.load.prefixHitTokens }
        self.init(
            ttftMeanMilliseconds: mean(finished.map(\.ttftMilliseconds)),
            tpotMeanMilliseconds: mean(finished.compactMap(\.tpotMilliseconds)),
            endToEndMeanMilliseconds: mean(finished.map { ($0.finished - $0.arrival).milliseconds }),
            prefixHitRatio: Double(hit) / Double(max(queried, 1)), imbalance: spread(computed))
    }
}

/// The largest value over the mean of all; 1 where there is nothing to spread.
func spread(_ values: [Double]) -> Double {
    let sum = values.reduce(0, +)
    guard sum > 0, let largest = values.max() else { return 1 }
    return largest * Double(values.count) / sum
}
