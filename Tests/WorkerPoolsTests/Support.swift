import Basics
import DispatchGates
import WorkerPools

/// When the tests begin, in steady time.
let start = Instant(seconds: 1000)

func subject(
    _ id: UInt64, queue: String = "a", due seconds: Double = 3600, priority: Int = 0, user: String? = nil,
    labels: [String: String] = [:]
) -> GateSubject {
    GateSubject(
        id: id, queue: queue, metadata: user.map { ["userid": $0] } ?? [:], labels: labels, priority: priority,
        deadline: Instant(seconds: 5000) + .seconds(seconds))
}

func gate(_ type: String, _ parameters: [String: GateParameter] = [:]) throws -> DispatchGate {
    DispatchGate(try GateConfiguration(type: type, parameters: parameters), owner: type)
}

/// A quota of one unit per user.
func quotaGate(_ parameters: [String: GateParameter] = [:]) throws -> DispatchGate {
    try gate(
        "redis-quota",
        ["address": .text("127.0.0.1:6379"), "limit": .number(1), "mode": .text("concurrency")].merging(parameters) {
            $1
        })
}

func pool(
    workers: Int = 1, merge: MergePolicy = .deadline, ageing: TimeSpan? = nil, gate: DispatchGate? = nil,
    queues: [(name: String, gate: DispatchGate?)] = [("a", nil), ("b", nil)]
) -> WorkerPoolStateMachine {
    var configuration = WorkerPoolConfiguration(name: "default", workers: workers)
    configuration.merge = merge
    configuration.ageing = ageing
    var machine = WorkerPoolStateMachine(configuration, gate: gate, seed: 7)
    for queue in queues { machine.addQueue(queue.name, labels: [:], gate: queue.gate) }
    return machine
}

extension [WorkerPoolStateMachine.Action] {
    /// The requests that are to be started.
    var started: [UInt64] {
        compactMap { action -> UInt64? in if case .start(let id, _) = action { id } else { nil } }
    }

    /// The quotas that are to be asked for.
    var asked: [(id: UInt64, quota: QuotaRequest)] {
        compactMap { action in if case .acquire(let id, let quota) = action { (id, quota) } else { nil } }
    }

    /// The quotas that are to be returned.
    var returned: [QuotaRequest] {
        flatMap { action -> [QuotaRequest] in if case .giveBack(let quotas) = action { quotas } else { [] } }
    }
}
