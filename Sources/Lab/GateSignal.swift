import EngineModel

/// What a gate watches, as the pool has it at one moment: 0 idle, and full at 1.
enum GateSignal: Hashable, Sendable {
    /// Pool saturation as the llm-d router computes it: the mean over replicas of the larger of waiting requests / 5 and
    /// KV cache usage / 0.8 (shared reference `gaie-protocol.md`, `utilization-detector`).
    case saturation
    /// Waiting requests per replica, over so many.
    case waiting(per: Double)
    /// Running requests per replica, over so many.
    case running(per: Double)
    /// Batch requests in flight per replica, over so many.
    case batchInFlight(per: Double)

    /// What it is called in reports.
    var name: String {
        switch self {
        case .saturation: "saturation"
        case .waiting(let count): "waiting/\(Int(count))"
        case .running(let count): "running/\(Int(count))"
        case .batchInFlight(let count): "in flight/\(Int(count))"
        }
    }

    /// Its value now.
    func level(of fleet: borrowing Fleet) -> Double {
        let replicas = Double(fleet.engines.count)
        switch self {
        case .saturation:
            return fleet.engines.reduce(0) { $0 + max(Double($1.load.waiting) / 5, $1.load.kvUsage / 0.8) } / replicas
        case .waiting(let count): return Double(fleet.engines.reduce(0) { $0 + $1.load.waiting }) / replicas / count
        case .running(let count): return Double(fleet.engines.reduce(0) { $0 + $1.load.running }) / replicas / count
        case .batchInFlight(let count): return Double(fleet.batchInFlight) / replicas / count
        }
    }
}
