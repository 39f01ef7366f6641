import Admission
import Basics
import EngineModel
import Harvest
import Pool

/// What a world is made of.
struct WorldSetup {
    var trace: Trace
    var supply: BatchSupply.Kind
    var job: OfflineJob
    var engineConfiguration: EngineConfiguration
    var replicas: Int
    var seed: UInt64
    var hidesLengths: Bool
    /// Whether somebody looks at answers in progress.
    var reportsProgress = false
    var completionWindow: TimeSpan?
    /// How requests wait in the gateway.
    var admission = AdmissionConfiguration()
    /// A window in which step times are watched, and their limit in milliseconds.
    var watched: (from: Instant, to: Instant, limitMilliseconds: Double)?
    /// A gate's signal that is watched, and the level at which the gate closes.
    var gate: (signal: GateSignal, threshold: Double)?
}

/// How long a run may go on after its last arrival before it is given up.
private let drainLimit = TimeSpan.seconds(48 * 3600)
private let timelineBins = 120.0

/// Runs a world to its end: all real-time requests have ended, and all messages too if they were pushed.
///
/// An endless supply ends with the trace; what is then in flight runs out, so that lost work can be told exactly.
/// - Returns: the fleet with its books, as of the end of the trace and of the run.
func simulate(_ setup: WorldSetup, with initial: some Dispatcher) -> FinishedWorld {
    var dispatcher = initial
    let traceEnd = Instant.zero + setup.trace.duration
    let watch = setup.watched.map { window in
        StepWatch(
            from: window.from, to: window.to, limitMilliseconds: window.limitMilliseconds,
            stepTime: setup.engineConfiguration.stepTime, replicas: setup.replicas)
    }
    var fleet = Fleet(
        setup: setup, timeline: Timeline(binSeconds: max(0.05, setup.trace.duration.seconds / timelineBins)),
        stepWatch: watch)
    var nextArrival = 0
    var booksAtTraceEnd: FinishedWorld.Books?
    dispatcher.begin(now: .zero, fleet: &fleet)
    fleet.beginSteps(now: .zero)
    var now = Instant.zero
    while true {
        let arrival = nextArrival < fleet.realtimeCount ? fleet.requests[nextArrival].arrival : nil
        let push = fleet.supply.nextPush
        if arrival == nil, push == nil, isAtRest(fleet) { break }
        let next = [arrival, push, fleet.nextEvent, dispatcher.nextWake].lazy.compactMap { $0 }.min()
        guard let next, next - traceEnd <= drainLimit else { break }
        if next > traceEnd, booksAtTraceEnd == nil {
            booksAtTraceEnd = FinishedWorld.Books(fleet)
            fleet.closeSupply()
        }
        now = next
        fleet.deliverDue(now: now) { event, fleet in dispatcher.happened(event, now: now, fleet: &fleet) }
        fleet.finishDueSteps(now: now) { event, fleet in dispatcher.happened(event, now: now, fleet: &fleet) }
        if let arrival, arrival <= now {
            dispatcher.realtimeArrived(nextArrival, now: now, fleet: &fleet)
            nextArrival += 1
        }
        if let push, push <= now {
            dispatcher.messageArrived(fleet.newBatchRequest(now: now), now: now, fleet: &fleet)
        }
        if let wake = dispatcher.nextWake, wake <= now { dispatcher.wake(now: now, fleet: &fleet) }
        fleet.beginSteps(now: now)
        if booksAtTraceEnd == nil { fleet.watchLevels(now: now) }
    }
    fleet.close(now: now)
    return FinishedWorld(
        fleet: fleet, atTraceEnd: booksAtTraceEnd ?? FinishedWorld.Books(fleet), traceEnd: traceEnd, end: now)
}

/// Whether nothing is left that could still happen, apart from ticks.
private func isAtRest(_ fleet: Fleet) -> Bool {
    guard fleet.realtimeFinished + fleet.realtimeRejected == fleet.realtimeCount, fleet.batchInFlight == 0 else {
        return false
    }
    switch fleet.supply.kind {
    case .none: return true
    // Lines that were offered and never started go back to where they came from.
    case .endless: return fleet.supply.isClosed
    case .push: return fleet.batchFinished + fleet.batchDropped == fleet.batchSubmitted
    }
}

/// A world that has run.
struct FinishedWorld {
    /// Batch counts at one moment.
    struct Books {
        let submitted: Int
        let served: Int
        let dropped: Int
        let inFlight: Int
        let sends: Int

        init(_ fleet: Fleet) {
            // Of an endless supply only those count that were sent: the rest was merely offered.
            submitted =
                fleet.supply.kind == .endless
                ? fleet.requests[fleet.realtimeCount...].count { $0.attempts > 0 } : fleet.batchSubmitted
            served = fleet.batchFinished
            dropped = fleet.batchDropped
            inFlight = fleet.batchInFlight
            sends = fleet.batchSends
        }
    }

    let fleet: Fleet
    let atTraceEnd: Books
    let traceEnd: Instant
    let end: Instant
}
