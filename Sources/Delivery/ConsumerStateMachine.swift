public import Basics

/// The hands of one consumer of a queue: which messages to take, when to offer each to the pool, and what to store.
///
/// Events in, actions out; `DeliveryStateMachine` decides for each message, this composes them and keeps what they share:
/// leases and their heartbeats, bounds, deadlines and timeouts, breakers and capacity of the targets, writes that have to be
/// repeated, cancellations, the stop. Every action is answered by an event; after each event look at `nextWake`.
public struct ConsumerStateMachine: Sendable {
    /// What the shell is to do.
    public enum Action: Hashable, Sendable {
        /// Lease up to `limit` messages; answer with `taken` or `takeFailed`. Replaces a wait for messages.
        case take(limit: Int, excluding: Set<String>)
        /// Lease messages whose deadline lies before this; answer likewise, with `isOverdue`.
        case takeOverdue(before: Instant, limit: Int)
        /// Wait until a message of no excluded target may be ready; answer with `mayBeReady`.
        case awaitReady(excluding: Set<String>)
        /// Offer the message to the pool; answer with `started`, perhaps, and `ended`.
        case offer(LeasedMessage)
        /// Take an offered request back, wherever it is; it still has to be answered with `ended`.
        case withdraw(Lease)
        /// Store the result; answer with `stored` or `storeFailed`.
        case complete(Lease, InferenceResult)
        /// Give the message back; answer likewise.
        case release(Lease, AttemptRecord, readyAt: Instant)
        /// Extend these leases; answer with `extended` or `extendFailed`.
        case extend([Lease])
    }

    enum Phase: Comparable {
        /// Taking messages.
        case running
        /// Taking none; requests that have started may finish.
        case draining
        /// Taking everything back.
        case aborting
    }

    enum Stage: Hashable {
        case waiting
        case offered(at: Instant)
        case started(offeredAt: Instant, at: Instant)
        /// What follows from it is being stored, or will be tried to be stored again.
        case settling
    }

    /// What is to be stored of a message that is out of the pool's hands.
    enum Settlement: Hashable {
        case complete(InferenceResult)
        /// Steady time: the pause is the same however long storing takes and whatever happens to the calendar meanwhile.
        case release(readyAt: Instant)
        case postpone(until: Instant)
        case handBack
    }

    struct Entry {
        var machine: DeliveryStateMachine
        /// Its place among all that were taken: the order in which they are offered.
        let order: UInt64
        var stage = Stage.waiting
        var withdrawal: DeliveryStateMachine.Withdrawal?
        var settlement: Settlement?
        var writePause: TimeSpan
    }

    /// Targets that are remembered; more models than this have no use for a memory of each.
    static let targetLimit = 256

    let configuration: ConsumerConfiguration
    var generator: SeededGenerator
    var entries: [Lease: Entry] = [:]
    var targets: [String: TargetState] = [:]
    var bytes = 0
    var phase = Phase.running
    var tallies = ConsumerCounters()
    var backlog = Backlog()

    var taking: Taking
    var lastOrder: UInt64 = 0
    /// Cancellations that came before the messages they are for, which are on their way.
    var earlyCancellations: Set<Lease> = []
    var isExtending = false
    var nextBeat: Instant
    var graceEnd: Instant?
    /// When deadlines are to be looked at, in calendar time.
    var deadlines = Timetable()
    /// When attempts have taken too long and writes are to be repeated, in steady time.
    var timers = Timetable()

    /// Creates a consumer with empty hands; `begin` sets it going.
    public init(configuration: ConsumerConfiguration, seed: UInt64, now: DeliveryTime) {
        self.configuration = configuration
        generator = SeededGenerator(seed: seed)
        taking = Taking(
            firstPause: configuration.queuePause, longestPause: configuration.maximumQueuePause, now: now.steady)
        nextBeat = now.steady + configuration.leaseDuration * (1.0 / 3)
    }

    /// What has been done, and what is in hand.
    public var counters: ConsumerCounters {
        var counters = tallies
        counters.held = entries.count
        for target in targets.values {
            counters.offered += target.offered
            counters.inFlight += target.inFlight
        }
        return counters
    }

    /// Targets that are failing and are left alone, by name.
    public var failingTargets: [String] { targets.filter { !$0.value.breaker.isClosed }.keys.sorted() }

    /// Whether a stop has been carried out: no message is in hand and none is on its way.
    public var isDone: Bool { phase > .running && entries.isEmpty && !taking.isUnderWay }

    /// When `tick` is to be called although nothing happens: a steady and a calendar time, whichever comes first.
    public mutating func nextWake(now: DeliveryTime) -> DeliveryTime {
        var steady = timers.next() ?? .distantFuture
        // What is due already has been looked at and waits for an event.
        func consider(_ instant: Instant?) {
            if let instant, instant > now.steady { steady = min(steady, instant) }
        }
        if !entries.isEmpty { consider(nextBeat) }
        consider(graceEnd)
        if phase == .running {
            consider(taking.nextOverdueLook)
            consider(taking.pausedUntil)
            for target in targets.values { consider(target.opensAt(now: now.steady)) }
        }
        return DeliveryTime(wall: deadlines.next() ?? .distantFuture, steady: steady)
    }

    // MARK: Events

    /// Starts taking messages.
    public mutating func begin(now: DeliveryTime) -> [Action] { advance([], now: now) }

    /// Messages have been leased, in the order in which they are to be started.
    public mutating func taken(_ messages: [LeasedMessage], isOverdue: Bool, now: DeliveryTime) -> [Action] {
        taking.received(messages.count, isOverdue: isOverdue, now: now.steady)
        tallies.leased += messages.count
        var actions: [Action] = []
        for message in messages {
            let lease = message.lease
            lastOrder += 1
            entries[lease] = Entry(
                machine: DeliveryStateMachine(message, queue: configuration.queue, policy: configuration.retries),
                order: lastOrder, writePause: configuration.queuePause)
            bytes += message.message.payload.count
            if phase == .running {
                withTarget(message.message.target, now: now) { $0.waiting.append(lease) }
                lookAtDeadline(of: lease, now: now)
            } else {
                actions += settle(lease, .handBack, now: now)
            }
        }
        let early = messages.map(\.lease).filter(earlyCancellations.contains)
        if !taking.isUnderWay { earlyCancellations = [] }
        if !early.isEmpty { actions += cancelled(early, now: now) }
        return advance(actions, now: now)
    }

    /// The queue could not be asked.
    public mutating func takeFailed(isOverdue: Bool, now: DeliveryTime) -> [Action] {
        tallies.queueErrors += 1
        taking.failed(isOverdue: isOverdue, now: now.steady)
        return advance([], now: now)
    }

    /// A message may be ready.
    public mutating func mayBeReady(now: DeliveryTime) -> [Action] {
        taking.mayBeReady()
        return advance([], now: now)
    }

    /// An endpoint has been given the request.
    public mutating func started(_ lease: Lease, now: DeliveryTime) -> [Action] {
        guard var entry = entries[lease], case .offered(let offeredAt) = entry.stage else { return [] }
        entry.stage = .started(offeredAt: offeredAt, at: now.steady)
        entry.machine.dispatched(at: now.wall)
        entries[lease] = entry
        tallies.dispatched += 1
        if entry.machine.record.dispatches == 1 { tallies.firstDispatches += 1 }
        withTarget(entry.machine.message.target, now: now) { $0.start() }
        timers.set(lease, at: now.steady + configuration.attemptTimeout)
        lookAtDeadline(of: lease, now: now)
        return advance([], now: now)
    }

    /// The attempt is over.
    public mutating func ended(_ lease: Lease, _ outcome: AttemptOutcome, now: DeliveryTime) -> [Action] {
        guard var entry = entries[lease] else { return [] }
        let name = entry.machine.message.target
        var sentAt = now.steady
        var duration: TimeSpan?
        switch entry.stage {
        case .offered(let at): sentAt = at
        case .started(let offeredAt, let at):
            sentAt = offeredAt
            duration = now.steady - at
        case .waiting, .settling: return []
        }
        let withdrawal = entry.withdrawal
        let disposition = entry.machine.end(
            outcome, withdrawal: withdrawal, backlogPause: backlog.retryPause(at: now.steady), now: now.wall,
            using: &generator)
        entry.withdrawal = nil
        entry.stage = .waiting
        entries[lease] = entry
        timers.clear(lease)
        let capacityPause = configuration.retries.capacityPause
        withTarget(name, now: now) { target, consumer in
            target.end(hadStarted: duration != nil)
            let lesson = target.learn(
                from: outcome, timedOut: withdrawal == .attemptTimedOut, sentAt: sentAt, duration: duration,
                capacityPause: capacityPause, now: now.steady, using: &consumer.generator)
            switch lesson {
            case .none: break
            case .isFull: consumer.tallies.capacityRefusals += 1
            case .isFailing: consumer.tallies.breakersOpened += 1
            }
        }
        if outcome == .evicted { tallies.evictions += 1 }
        return advance(follow(disposition, lease, now: now), now: now)
    }

    /// A result or a release reached the queue; `tookEffect` says whether the lease was still ours.
    public mutating func stored(_ lease: Lease, tookEffect: Bool, now: DeliveryTime) -> [Action] {
        guard let entry = entries[lease], let settlement = entry.settlement else { return [] }
        if tookEffect { count(settlement, of: entry, now: now) } else { tallies.lostLeases += 1 }
        forget(lease)
        return advance([], now: now)
    }

    /// A result or a release could not be stored; it is tried again, or given up if everything is being taken back. Then
    /// the lease runs out, or the next consumer ends it, and the message is done again.
    public mutating func storeFailed(_ lease: Lease, now: DeliveryTime) -> [Action] {
        tallies.queueErrors += 1
        guard let entry = entries[lease], entry.settlement != nil else { return [] }
        if phase == .aborting {
            forget(lease)
        } else {
            entries[lease]?.writePause = min(entry.writePause * 2, configuration.maximumQueuePause)
            timers.set(lease, at: now.steady + entry.writePause)
        }
        return advance([], now: now)
    }

    /// Leases have been extended, except those that are `lost`: their messages are in other hands.
    public mutating func extended(lost: [Lease], now: DeliveryTime) -> [Action] {
        isExtending = false
        var actions: [Action] = []
        for lease in lost {
            guard let entry = entries[lease] else { continue }
            switch entry.stage {
            case .waiting:
                unqueue(lease, entry, now: now)
                tallies.lostLeases += 1
                forget(lease)
            case .offered, .started: actions += withdraw(lease, .handingBack)
            case .settling: break
            }
        }
        return advance(actions, now: now)
    }

    /// Leases could not be extended; that is tried again with the next beat.
    public mutating func extendFailed(now: DeliveryTime) -> [Action] {
        isExtending = false
        tallies.queueErrors += 1
        return advance([], now: now)
    }

    /// Owners have asked to take these messages back.
    public mutating func cancelled(_ leases: [Lease], now: DeliveryTime) -> [Action] {
        var actions: [Action] = []
        for lease in leases {
            guard var entry = entries[lease] else {
                if taking.isUnderWay { earlyCancellations.insert(lease) }
                continue
            }
            switch entry.stage {
            case .waiting:
                unqueue(lease, entry, now: now)
                let result = entry.machine.cancel(now: now.wall)
                entries[lease] = entry
                actions += settle(lease, .complete(result), now: now)
            case .offered, .started: actions += withdraw(lease, .cancelled)
            case .settling: break
            }
        }
        return advance(actions, now: now)
    }

    /// How full the queue is.
    public mutating func observeBacklog(ready: Int, delayed: Int) { backlog.observe(ready: ready, delayed: delayed) }

    /// Asks for a stop: nothing new is taken, what waits goes back at once, what has started may finish within the grace.
    public mutating func stop(now: DeliveryTime) -> [Action] {
        guard phase == .running else { return [] }
        phase = .draining
        graceEnd = now.steady + configuration.grace
        var actions: [Action] = []
        for (lease, entry) in sortedEntries {
            switch entry.stage {
            case .waiting:
                unqueue(lease, entry, now: now)
                actions += settle(lease, .handBack, now: now)
            case .offered: actions += withdraw(lease, .handingBack)
            case .started, .settling: break
            }
        }
        return advance(actions, now: now)
    }

    /// Takes everything back at once.
    public mutating func abort(now: DeliveryTime) -> [Action] {
        var actions = stop(now: now)
        guard phase < .aborting else { return actions }
        phase = .aborting
        for (lease, entry) in sortedEntries {
            switch entry.stage {
            case .started: actions += withdraw(lease, .handingBack)
            case .settling where timers.contains(lease): forget(lease)
            case .waiting, .offered, .settling: break
            }
        }
        return advance(actions, now: now)
    }

    /// Time has passed.
    public mutating func tick(now: DeliveryTime) -> [Action] { advance([], now: now) }
}

// MARK: - What follows

extension ConsumerStateMachine {
    /// In the order of submission, so that equal worlds act equally.
    var sortedEntries: [(key: Lease, value: Entry)] {
        entries.sorted { ($0.key.sequence, $0.key.token) < ($1.key.sequence, $1.key.token) }
    }

    private mutating func follow(
        _ disposition: DeliveryStateMachine.Disposition, _ lease: Lease, now: DeliveryTime
    ) -> [Action] {
        switch disposition {
        case .complete(let result): return settle(lease, .complete(result), now: now)
        case .release(let readyAt):
            return settle(lease, .release(readyAt: now.steady + (readyAt - now.wall)), now: now)
        case .postpone(let instant):
            return settle(lease, .postpone(until: now.steady + (instant - now.wall)), now: now)
        case .handBack: return settle(lease, .handBack, now: now)
        case .offerAgain, .awaitCapacity:
            guard phase == .running, let entry = entries[lease] else {
                return settle(lease, .handBack, now: now)
            }
            withTarget(entry.machine.message.target, now: now) { target, consumer in
                target.putBack(lease) { consumer.entries[$0]?.order ?? .max > entry.order }
            }
            lookAtDeadline(of: lease, now: now)
            return []
        }
    }

    mutating func settle(_ lease: Lease, _ settlement: Settlement, now: DeliveryTime) -> [Action] {
        guard var entry = entries[lease] else { return [] }
        entry.stage = .settling
        entry.settlement = settlement
        entry.withdrawal = nil
        entries[lease] = entry
        deadlines.clear(lease)
        timers.clear(lease)
        return [write(settlement, lease, entry, now: now)]
    }

    func write(_ settlement: Settlement, _ lease: Lease, _ entry: Entry, now: DeliveryTime) -> Action {
        switch settlement {
        case .complete(let result): .complete(lease, result)
        case .release(let instant), .postpone(let instant):
            .release(lease, entry.machine.record, readyAt: now.wall + (instant - now.steady))
        // No time that has to come: whatever the calendar says when this is stored, the message is free.
        case .handBack: .release(lease, entry.machine.record, readyAt: .zero)
        }
    }

    private mutating func count(_ settlement: Settlement, of entry: Entry, now: DeliveryTime) {
        switch settlement {
        case .complete(let result):
            backlog.finishedOne(at: now.steady)
            switch result.errorCode {
            case .deadlineExceeded?: tallies.expired += 1
            case .cancelled?: tallies.cancelled += 1
            case _ where result.isSuccess: tallies.succeeded += 1
            default: tallies.failed += 1
            }
            if result.isDeadLetter { tallies.deadLettered += 1 }
        case .release(let readyAt):
            tallies.retries += 1
            if readyAt > now.steady { backlog.delayedOne() }
        case .postpone: tallies.postponed += 1
        case .handBack: tallies.handedBack += 1
        }
    }

    mutating func withdraw(_ lease: Lease, _ reason: DeliveryStateMachine.Withdrawal) -> [Action] {
        guard let entry = entries[lease] else { return [] }
        if let former = entry.withdrawal {
            if reason.rank > former.rank { entries[lease]?.withdrawal = reason }
            return []
        }
        entries[lease]?.withdrawal = reason
        return [.withdraw(lease)]
    }

    mutating func forget(_ lease: Lease) {
        guard let entry = entries.removeValue(forKey: lease) else { return }
        bytes -= entry.machine.message.payload.count
        deadlines.clear(lease)
        timers.clear(lease)
    }

    /// Takes a waiting message out of its target's line.
    mutating func unqueue(_ lease: Lease, _ entry: Entry, now: DeliveryTime) {
        withTarget(entry.machine.message.target, now: now) { $0.remove(lease) }
    }

    private mutating func withTarget(_ name: String, now: DeliveryTime, _ body: (inout TargetState) -> Void) {
        withTarget(name, now: now) { target, _ in body(&target) }
    }

    private mutating func withTarget(
        _ name: String, now: DeliveryTime, _ body: (inout TargetState, inout Self) -> Void
    ) {
        if targets[name] == nil, targets.count >= Self.targetLimit { forgetIdleTarget() }
        var target =
            targets.removeValue(forKey: name)
            ?? TargetState(
                breaker: CircuitBreaker(
                    failureLimit: configuration.breakerFailures, cap: configuration.breakerCap))
        target.lastUsed = now.steady
        body(&target, &self)
        targets[name] = target
    }

    /// Of what is in hand there are at most `maximumHeld`; targets beyond that are memory only.
    private mutating func forgetIdleTarget() {
        let idle = targets.lazy.filter(\.value.isIdle)
        if let oldest = idle.min(by: { ($0.value.lastUsed, $0.key) < ($1.value.lastUsed, $1.key) }) {
            targets[oldest.key] = nil
        }
    }
}
