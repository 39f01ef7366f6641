import DispatchGates
import WeirConfiguration

extension Configuration.Async {
    /// Where gates behave differently from llm-d-async's although they are written alike.
    var gateNotes: [String] {
        let gates =
            queues.map { ("queue \($0.name)", $0.gate) } + workerPools.map { ("worker pool \($0.name)", $0.gate) }
        return gates.flatMap { owner, gate in
            guard let gate, let parsed = try? GateConfiguration(type: gate.type, parameters: gate.parameters) else {
                return [String]()
            }
            return parsed.differences.map { "the gate of \(owner) \($0), where llm-d-async lets everything through" }
        }
    }
}

extension GateConfiguration {
    /// When the gate, or one inside it, is closed where llm-d-async's is open, and how to have it open.
    fileprivate var differences: [String] {
        switch self {
        case .prometheusSaturation(let gate) where gate.fallback == nil:
            ["is closed while there is no saturation to read (set its fallback to 0 to have it open)"]
        case .redis(let gate) where gate.fallback == nil:
            ["is closed while its key in Redis is missing (set its fallback to 1 to have it open)"]
        case .composite(let gates): gates.flatMap(\.differences)
        case .waitOnRefuse(let gate): gate.differences
        case .tierPriorityAdmission(let gate): gate.saturationGate.differences
        default: []
        }
    }
}
