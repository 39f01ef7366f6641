import Basics
import EngineModel

/// Pushes each message at a gate that sheds sheddable requests while every replica has five requests waiting or a KV
/// cache 80 % full, by metrics scraped every 50 ms. A shed message is gone (`workloads.md` C.2).
struct DirectDispatcher: Dispatcher {
    private static let waitingLimit = 5
    private static let kvLimit = 0.8
    private static let scrapeInterval = TimeSpan.milliseconds(50)
    private var isSaturated: [Bool] = []
    private(set) var nextWake: Instant? = .zero

    mutating func messageArrived(_ id: Int, now: Instant, fleet: inout Fleet) {
        let open = isSaturated.indices.filter { !isSaturated[$0] }
        let target = open.min { fleet.batchOnReplica[$0] < fleet.batchOnReplica[$1] }
        if let target { fleet.send(id, to: target, now: now) } else { fleet.reject(id, now: now) }
    }

    mutating func wake(now: Instant, fleet: inout Fleet) {
        isSaturated = fleet.engines.indices.map { index in
            let load = fleet.engines[index].load
            return load.waiting >= Self.waitingLimit || load.kvUsage >= Self.kvLimit
        }
        nextWake = now + Self.scrapeInterval
    }
}
