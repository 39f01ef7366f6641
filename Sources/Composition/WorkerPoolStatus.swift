import DispatchGates
import PooledDispatch
import WorkerPools

/// One pool of workers at one moment.
struct WorkerPoolStatus {
    let name: String
    /// Requests that may be under way at present.
    let limit: Int
    let waiting: Int
    let running: Int
    /// What the gate of the pool says; empty without one.
    let gates: [GateStatus]
    /// The budget of the gate of the pool by upstream's formulas, 0 closed ... 1; 1 without a gate.
    let budget: Double
    /// What the gate of the pool has decided against; nil without one.
    let decisions: GateDecisions?
    /// What the gates of its queues say, by queue.
    let queueGates: [(queue: String, gates: [GateStatus], budget: Double, decisions: GateDecisions)]
}

extension Dispatching {
    /// The pools as they are, by name.
    var status: [WorkerPoolStatus] {
        pools.values.sorted { $0.name < $1.name }.map { pool in
            let counts = pool.counts
            let gate = pool.gateReport
            return WorkerPoolStatus(
                name: pool.name, limit: pool.limit, waiting: counts.waiting, running: counts.running,
                gates: gate?.statuses ?? [], budget: gate?.budget ?? 1, decisions: gate?.decisions,
                queueGates: queueNames(of: pool.name).compactMap { name in
                    pool.gateReport(of: name).map { (name, $0.statuses, $0.budget, $0.decisions) }
                })
        }
    }
}
