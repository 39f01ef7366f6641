/// How batch work is let into the pool beside real-time work.
public enum Policy: Hashable, Sendable {
    /// No batch work at all: what the real-time users have today.
    case onlineOnly
    /// Push each message as it arrives at a threshold gate (waiting >= 5 or KV >= 0.8, metrics 50 ms old); no retry.
    case direct
    /// So many batch workers per replica and no gate.
    case ungated(workers: Int)
    /// The same on an engine that serves real-time work first (`SchedulingPolicy.priority`).
    case enginePriority(workers: Int)
    /// Batch in flight per replica at most R less the real-time requests in flight, from the gateway's live counters.
    case liveCap(requests: Int)
    /// The dispatch budget of llm-d's async processor, computed from metrics that are seconds old.
    case budgetGate(maxConcurrency: Int)
    /// Weir's own scheduler, with a stock engine or with one that honours priorities.
    case weir(enginePriority: Bool)
    /// A dispatch gate of llm-d's async processor in front of a pool of workers.
    case gate(GatePolicy)
    /// A router that sends real-time requests on at once; no batch work.
    case routed(RoutingPolicy)
    /// An engine that fills each step with batch work up to so many milliseconds: the yardstick.
    case oracle(stepMilliseconds: Int)

    /// How policy names are written; N, S and T stand for numbers.
    public static let patterns =
        [
            "online-only", "direct", "ungated-N", "engine-priority-N", "live-cap-N", "budget-gate", "budget-gate-N",
            "weir", "weir-engine-priority", "oracle-T",
        ] + RoutingPolicy.allCases.map(\.rawValue) + GatePolicy.patterns

    /// Reads a name.
    public init(named name: String) throws(LabError) {
        switch name {
        case "online-only": self = .onlineOnly
        case "direct": self = .direct
        case "weir": self = .weir(enginePriority: false)
        case "weir-engine-priority": self = .weir(enginePriority: true)
        case "budget-gate": self = .budgetGate(maxConcurrency: 100)
        default:
            if let routing = RoutingPolicy(named: name) {
                self = .routed(routing)
                return
            }
            if let gate = GatePolicy(named: name) {
                self = .gate(gate)
                return
            }
            guard let dash = name.lastIndex(of: "-"), let number = Int(name[name.index(after: dash)...]),
                (1...10_000).contains(number)
            else { throw .unknownPolicy(name) }
            switch name[..<dash] {
            case "ungated": self = .ungated(workers: number)
            case "engine-priority": self = .enginePriority(workers: number)
            case "live-cap": self = .liveCap(requests: number)
            case "budget-gate": self = .budgetGate(maxConcurrency: number)
            case "oracle": self = .oracle(stepMilliseconds: number)
            default: throw .unknownPolicy(name)
            }
        }
    }

    /// The name that reads back as this policy.
    public var name: String {
        switch self {
        case .onlineOnly: "online-only"
        case .direct: "direct"
        case .ungated(let workers): "ungated-\(workers)"
        case .enginePriority(let workers): "engine-priority-\(workers)"
        case .liveCap(let requests): "live-cap-\(requests)"
        case .budgetGate(100): "budget-gate"
        case .budgetGate(let maxConcurrency): "budget-gate-\(maxConcurrency)"
        case .gate(let gate): gate.name
        case .weir(let enginePriority): enginePriority ? "weir-engine-priority" : "weir"
        case .routed(let routing): routing.rawValue
        case .oracle(let stepMilliseconds): "oracle-\(stepMilliseconds)"
        }
    }

    /// Whether it takes no batch work.
    var isRealtimeOnly: Bool {
        switch self {
        case .onlineOnly, .routed: true
        default: false
        }
    }

    /// Whether the engines order waiting requests by priority under this policy.
    ///
    /// The reference experiment (`workloads.md` C.4) ran the live cap and the budget gate with it.
    var usesEnginePriority: Bool {
        switch self {
        case .enginePriority, .liveCap, .budgetGate, .weir(enginePriority: true): true
        case .onlineOnly, .direct, .ungated, .weir(enginePriority: false), .gate, .routed, .oracle: false
        }
    }
}
