import Basics
import Delivery
import EmbeddedQueue
import PoolScheduler

/// What is in the memory of one process, and dies with it: the processor, the gateway with its scheduler, and the memory and
/// the writer of the queue.
final class Process {
    let life: Int
    /// Nothing happens in it before this: it has been stopped by a signal, or swapped out.
    var frozenUntil = Instant.zero

    // The queue (`EmbeddedQueue`, `GroupCommit`).
    var store: MessageStore
    var pending: [QueueOperation] = []
    var isCommitting = false
    /// The wait for messages, if there is one.
    var readyWait: (number: Int, excluding: Set<String>)?
    var lastWait = 0
    var isWatchingCancellations = false
    var mustWatchAgain = false

    // The processor (`AsyncProcessor`).
    var machine: ConsumerStateMachine
    var alarm = (at: Instant.distantFuture, number: 0)
    /// The requests that the pool has been offered.
    var offers: [Lease: UInt64] = [:]
    var isStopping = false
    /// When what is in hand is, or was, to be given up.
    var abortsAt = Instant.distantFuture

    // The gateway (`PoolShell`, `Exchange`).
    var scheduler: PoolScheduler
    var requests: [UInt64: GatewayRequest] = [:]
    var running: Set<UInt64> = []
    var isTicking = false

    // What the checker notes of it.
    /// What was in hand because of its deadline.
    var overdue: Set<Lease> = []
    /// Everything in hand, as far as the answers of the queue and to the processor say.
    var held: [Lease: HeldMessage] = [:]
    /// Leases whose messages are to be taken back, and that have not arrived yet.
    var toldEarly: Set<Lease> = []
    /// Offers made while a target was failing and not ended yet.
    var probes: [String: Set<Lease>] = [:]
    var started = 0
    var taken = 0

    /// A message in the processor's hands.
    struct HeldMessage {
        let leased: LeasedMessage
        /// Since when it is to be taken back.
        var withdrawn: Instant?
        /// When it is to be tried again, decided when it was first given back.
        var due: DueTime?
        /// Since when its owner has asked to take it back, known to the processor.
        var cancelled: Instant?
        var isOffered = false
        var isSettling = false
    }

    init(life: Int, store: MessageStore, machine: ConsumerStateMachine, scheduler: PoolScheduler) {
        self.life = life
        self.store = store
        self.machine = machine
        self.scheduler = scheduler
    }
}

/// A request in the gateway's hands.
struct GatewayRequest {
    enum Phase { case coming, waiting, running, over }

    /// The message; nil for a real-time request.
    let leased: LeasedMessage?
    var phase = Phase.coming
    var isWithdrawn = false
    /// Counts the endpoints that it was given to.
    var run = 0
    var endpoint = 0
    var plan = Plan.answer(status: 200, after: .zero)
    /// The processor hears of one thing after the other.
    var heardUntil = Instant.zero

    var isRealtime: Bool { leased == nil }
}

/// A call of the queue that waits for its transaction.
enum QueueOperation {
    case lease(limit: Int, excluding: Set<String>)
    case leaseOverdue(before: Instant, limit: Int)
    case complete(Lease, InferenceResult)
    case release(Lease, AttemptRecord, readyAt: Instant, asked: Instant, due: DueTime?)
    case extend([Lease])
    case tick
    case takeCancellations
    case enqueue(ticket: Int)
    case cancel(id: String)
    case redrive(id: String)
    case purge(id: String)
}

/// When a message that is given back may be taken again.
struct DueTime {
    /// The steady time that is meant; nil for at once.
    let steady: Instant?
}
