import Basics

@testable import Lab

/// A dispatcher with a check that looks at it and at the fleet before and after every event.
struct WatchedDispatcher<Inner: Dispatcher>: Dispatcher {
    var inner: Inner
    let check: (_ before: BatchCounts, _ after: Fleet, _ inner: Inner, _ now: Instant) -> Void

    var nextWake: Instant? { inner.nextWake }

    mutating func begin(now: Instant, fleet: inout Fleet) {
        watch(now, &fleet) { inner, fleet in inner.begin(now: now, fleet: &fleet) }
    }

    mutating func realtimeArrived(_ id: Int, now: Instant, fleet: inout Fleet) {
        watch(now, &fleet) { inner, fleet in inner.realtimeArrived(id, now: now, fleet: &fleet) }
    }

    mutating func messageArrived(_ id: Int, now: Instant, fleet: inout Fleet) {
        watch(now, &fleet) { inner, fleet in inner.messageArrived(id, now: now, fleet: &fleet) }
    }

    mutating func happened(_ event: FleetEvent, now: Instant, fleet: inout Fleet) {
        watch(now, &fleet) { inner, fleet in inner.happened(event, now: now, fleet: &fleet) }
    }

    mutating func wake(now: Instant, fleet: inout Fleet) {
        watch(now, &fleet) { inner, fleet in inner.wake(now: now, fleet: &fleet) }
    }

    private mutating func watch(_ now: Instant, _ fleet: inout Fleet, _ event: (inout Inner, inout Fleet) -> Void) {
        let before = BatchCounts(batchSends: fleet.batchSends, batchOnReplica: fleet.batchOnReplica)
        event(&inner, &fleet)
        check(before, fleet, inner, now)
    }
}

/// What checks compare with: a copy of the whole fleet per event would make worlds quadratic.
struct BatchCounts {
    let batchSends: Int
    let batchOnReplica: [Int]
}
