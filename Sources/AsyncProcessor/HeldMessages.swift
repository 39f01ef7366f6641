import Basics
import Delivery
import MessageQueues

/// The messages in a processor's hands, each in its stage, and how many more are worth taking.
///
/// The pool decides when a request starts; the processor keeps `lookahead` requests offered to it, so that there is always
/// one to start at once, and few whose leases are held for nothing. A value: the processor keeps it behind a lock, and
/// resumes the continuations it hands out after unlocking.
struct HeldMessages {
    typealias Waiter = CheckedContinuation<Withdrawal?, Never>

    enum Phase: Comparable {
        /// Taking messages.
        case running
        /// Taking none; requests that have started may finish.
        case draining
        /// Taking everything back.
        case aborting
    }

    private enum Stage {
        /// Leased, not offered yet.
        case held
        /// Waiting inside the dispatcher.
        case offered
        /// With an endpoint since this instant.
        case started(Instant)
        /// The attempt is over; what follows from it is being stored.
        case settling
    }

    private struct Entry {
        let deadline: Instant
        let bytes: Int
        var stage = Stage.held
        /// Why the attempt is being interrupted.
        var interruption: Withdrawal?
        /// Waits for the attempt to be interrupted.
        var waiter: Waiter?

        var isInterruptible: Bool {
            switch stage {
            case .offered, .started: interruption == nil
            case .held, .settling: false
            }
        }
    }

    private let maximumHeld: Int
    private let maximumBytes: Int
    private let lookahead: Int
    private var entries: [Lease: Entry] = [:]
    private var bytes = 0
    private var entering = 0
    private(set) var phase = Phase.running
    private(set) var offered = 0
    private(set) var inFlight = 0

    init(maximumHeld: Int, maximumBytes: Int, lookahead: Int) {
        self.maximumHeld = maximumHeld
        self.maximumBytes = maximumBytes
        self.lookahead = lookahead
    }

    var count: Int { entries.count }

    var leases: [Lease] { Array(entries.keys) }

    /// How many messages to take now.
    var room: Int {
        guard phase == .running, bytes < maximumBytes else { return 0 }
        return max(0, min(maximumHeld - entries.count, lookahead - waitingToStart))
    }

    /// The earliest deadline of those whose attempt can be interrupted.
    var earliestDeadline: Instant? {
        entries.values.lazy.filter(\.isInterruptible).map(\.deadline).min()
    }

    /// Not started yet, those about to be offered included.
    private var waitingToStart: Int { offered + entering }

    mutating func insert(_ leased: LeasedMessage) {
        entries[leased.lease] = Entry(deadline: leased.message.deadline, bytes: leased.message.payload.count)
        bytes += leased.message.payload.count
        entering += 1
    }

    /// The attempt begins. Returns the deadline at which it has to be interrupted.
    mutating func offer(_ lease: Lease) -> Instant {
        move(lease, to: .offered)
        if phase > .running { entries[lease]?.interruption = .stopping }
        return entries[lease]?.deadline ?? .distantFuture
    }

    /// An endpoint has the request. Returns false for a late call, when the attempt is over already.
    mutating func start(_ lease: Lease, at now: Instant) -> Bool {
        guard case .offered? = entries[lease]?.stage else { return false }
        move(lease, to: .started(now))
        return true
    }

    /// The attempt is over. Returns when the request was started, and who waits for an interruption, now in vain.
    mutating func settle(_ lease: Lease) -> (started: Instant?, waiter: Waiter?) {
        guard let entry = entries[lease] else { return (nil, nil) }
        move(lease, to: .settling)
        entries[lease]?.waiter = nil
        entries[lease]?.interruption = nil
        guard case .started(let instant) = entry.stage else { return (nil, entry.waiter) }
        return (instant, entry.waiter)
    }

    /// The message is out of our hands.
    mutating func remove(_ lease: Lease) {
        move(lease, to: .settling)
        guard let entry = entries.removeValue(forKey: lease) else { return }
        bytes -= entry.bytes
    }

    /// Registers who waits for an interruption of the attempt; false, and nothing is registered, if there is none to come
    /// because the attempt is over, or because it has been interrupted already: see `interruption(of:)`.
    mutating func register(_ waiter: Waiter, for lease: Lease) -> Bool {
        guard entries[lease]?.isInterruptible == true else { return false }
        entries[lease]?.waiter = waiter
        return true
    }

    /// Why the attempt is being interrupted, if it is.
    func interruption(of lease: Lease) -> Withdrawal? { entries[lease]?.interruption }

    /// Those whose deadline has passed, to be interrupted.
    mutating func takeExpired(now: Instant) -> [Waiter] {
        interrupt(for: .deadlinePassed) { $0.deadline <= now }
    }

    /// Enters a later phase; returns those that are to be interrupted for it.
    mutating func enter(_ next: Phase) -> [Waiter] {
        phase = max(phase, next)
        return interrupt(for: .stopping) { [phase] entry in
            if case .started = entry.stage { return phase > .draining }
            return phase > .running
        }
    }

    private mutating func interrupt(for reason: Withdrawal, where matches: (Entry) -> Bool) -> [Waiter] {
        var waiters: [Waiter] = []
        for (lease, entry) in entries where entry.isInterruptible && matches(entry) {
            entries[lease]?.interruption = reason
            guard let waiter = entry.waiter else { continue }
            waiters.append(waiter)
            entries[lease]?.waiter = nil
        }
        return waiters
    }

    private mutating func move(_ lease: Lease, to stage: Stage) {
        guard let old = entries[lease]?.stage else { return }
        count(old, -1)
        count(stage, 1)
        entries[lease]?.stage = stage
    }

    private mutating func count(_ stage: Stage, _ change: Int) {
        switch stage {
        case .held: entering += change
        case .offered: offered += change
        case .started: inFlight += change
        case .settling: break
        }
    }
}
