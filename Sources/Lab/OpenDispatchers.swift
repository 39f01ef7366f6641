import Basics
import EngineModel

/// Real-time work only.
struct OnlineOnlyDispatcher: Dispatcher {}

/// A fixed number of batch workers per replica, or a live cap: batch in flight up to a limit, refilled at once.
struct CapDispatcher: Dispatcher {
    /// The most requests in flight on one replica.
    let limit: Int
    /// Whether real-time requests in flight count against the limit (live cap) or not (workers).
    let countsRealtime: Bool

    mutating func begin(now: Instant, fleet: inout Fleet) { fill(now: now, fleet: &fleet) }

    mutating func messageArrived(_ id: Int, now: Instant, fleet: inout Fleet) {
        fleet.enqueue(id)
        fill(now: now, fleet: &fleet)
    }

    mutating func happened(_ event: FleetEvent, now: Instant, fleet: inout Fleet) {
        if case .finished = event { fill(now: now, fleet: &fleet) }
    }

    private func fill(now: Instant, fleet: inout Fleet) {
        for index in fleet.engines.indices {
            while room(on: index, fleet: fleet) > 0, let id = fleet.takeBatch(now: now) {
                fleet.send(id, to: index, now: now)
            }
        }
    }

    private func room(on replica: Int, fleet: borrowing Fleet) -> Int {
        limit - fleet.batchOnReplica[replica] - (countsRealtime ? fleet.realtimeOnReplica[replica] : 0)
    }
}

/// Keeps an engine that fills its own steps supplied: some requests always wait inside it.
struct OracleDispatcher: Dispatcher {
    private static let waitingPerReplica = 16

    mutating func begin(now: Instant, fleet: inout Fleet) { fill(now: now, fleet: &fleet) }

    mutating func messageArrived(_ id: Int, now: Instant, fleet: inout Fleet) {
        fleet.enqueue(id)
        fill(now: now, fleet: &fleet)
    }

    mutating func happened(_ event: FleetEvent, now: Instant, fleet: inout Fleet) { fill(now: now, fleet: &fleet) }

    private func fill(now: Instant, fleet: inout Fleet) {
        for index in fleet.engines.indices {
            var missing = Self.waitingPerReplica - fleet.engines[index].load.waiting
            while missing > 0, let id = fleet.takeBatch(now: now) {
                fleet.send(id, to: index, now: now, skipsAPI: true)
                missing -= 1
            }
        }
    }
}
