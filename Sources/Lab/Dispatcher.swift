import Basics

/// A policy at work: told what happens, it acts on the fleet.
protocol Dispatcher {
    /// When it wants to be woken next; nil for never.
    var nextWake: Instant? { get }
    /// Batch work can be taken from the supply for the first time.
    mutating func begin(now: Instant, fleet: inout Fleet)
    /// A real-time request came.
    mutating func realtimeArrived(_ id: Int, now: Instant, fleet: inout Fleet)
    /// A message was pushed.
    mutating func messageArrived(_ id: Int, now: Instant, fleet: inout Fleet)
    /// Something happened to a request in the pool.
    mutating func happened(_ event: FleetEvent, now: Instant, fleet: inout Fleet)
    /// The time of `nextWake` has come.
    mutating func wake(now: Instant, fleet: inout Fleet)
}

/// Most policies send real-time requests straight to the least loaded replica and let messages wait in the queue.
extension Dispatcher {
    var nextWake: Instant? { nil }

    mutating func begin(now: Instant, fleet: inout Fleet) {}

    mutating func realtimeArrived(_ id: Int, now: Instant, fleet: inout Fleet) {
        fleet.send(id, to: fleet.leastLoaded(byRealtime: true), now: now)
    }

    mutating func messageArrived(_ id: Int, now: Instant, fleet: inout Fleet) { fleet.enqueue(id) }

    mutating func happened(_ event: FleetEvent, now: Instant, fleet: inout Fleet) {}

    mutating func wake(now: Instant, fleet: inout Fleet) {}
}
