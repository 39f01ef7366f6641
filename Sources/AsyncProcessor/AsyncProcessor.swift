public import Basics
public import Delivery
public import MessageQueues
import Synchronization

/// Takes messages from a queue, offers them to the pool, and stores one result for each.
///
/// Each message is carried by a task of its own, from its lease to the moment the queue has its result or has it back.
/// What follows from an attempt is decided by `DeliveryStateMachine`, when a request starts by the dispatcher.
public final class AsyncProcessor: Sendable {
    /// How a processor works.
    public struct Configuration: Sendable {
        /// Requests offered to the pool and not started: enough to fill its slack at once.
        public var lookahead = 64
        /// Messages in hand at a time, whatever their stage.
        public var maximumHeld = 1024
        /// Payloads in hand at a time, in bytes; one lease call may exceed it by what that call brings.
        public var maximumHeldBytes = 256 << 20
        /// A message left by a processor that hangs is free after this.
        public var leaseDuration = TimeSpan.seconds(30)
        /// How long requests that have started may go on after a stop.
        public var grace = TimeSpan.seconds(30)
        /// The pause after the queue failed; doubled up to `maximumQueuePause` while it goes on failing.
        public var queuePause = TimeSpan.milliseconds(100)
        /// The longest pause between attempts to reach a failing queue.
        public var maximumQueuePause = TimeSpan.seconds(5)
        /// When messages are tried again.
        public var retries = RetryPolicy()
        /// The seed of the jitter.
        public var seed: UInt64 = 0
        /// The source of the time.
        public var clock: any DeliveryClock = SystemClock()
        /// Told of each failure of the queue, for the log.
        public var reportsQueueError: @Sendable (any Error) -> Void = { _ in }

        /// The defaults.
        public init() {}
    }

    private struct State {
        var held: HeldMessages
        var generator: SeededGenerator
        var counters = AsyncProcessorCounters()
        /// When the timekeeper will wake by itself.
        var nextWake = Instant.distantFuture
        /// When requests that still run after a stop are taken back.
        var graceEnd: Instant?
    }

    private enum Event {
        case ended(AttemptOutcome)
        case interrupted(Withdrawal?)
    }

    private let queue: any MessageQueue
    private let dispatcher: any InferenceDispatcher
    private let configuration: Configuration
    private let state: Mutex<State>
    /// There may be more room than before.
    private let room = ChangeSignal()
    /// The timekeeper has something to do earlier than it thought.
    private let timetable = ChangeSignal()
    /// Past version 0 once a stop has been asked for.
    private let stopping = ChangeSignal()

    /// Creates a processor; `run()` starts it.
    public init(queue: any MessageQueue, dispatcher: any InferenceDispatcher, configuration: Configuration) {
        self.queue = queue
        self.dispatcher = dispatcher
        self.configuration = configuration
        state = Mutex(
            State(
                held: HeldMessages(
                    maximumHeld: configuration.maximumHeld, maximumBytes: configuration.maximumHeldBytes,
                    lookahead: configuration.lookahead),
                generator: SeededGenerator(seed: configuration.seed)))
    }

    /// What has been done, and what is in hand.
    public var counters: AsyncProcessorCounters {
        state.withLock { state in
            var counters = state.counters
            counters.offered = state.held.offered
            counters.inFlight = state.held.inFlight
            counters.held = state.held.count
            return counters
        }
    }

    /// Works until `stop()` is called or the task is cancelled; returns when no message is in hand any more.
    ///
    /// A stop lets requests that have started finish within the grace; cancelling takes everything back at once. Messages
    /// that are not finished by then are back in the queue.
    public func run() async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await self.keepTime() }
            await withDiscardingTaskGroup { carriers in await self.takeMessages(&carriers) }
            group.cancelAll()
        }
    }

    /// Asks for a stop: nothing new is taken, what waits goes back at once, what has started may finish.
    public func stop() {
        let waiters = state.withLock { state in
            state.graceEnd = state.graceEnd ?? configuration.clock.now() + configuration.grace
            return state.held.enter(.draining)
        }
        for waiter in waiters { waiter.resume(returning: .stopping) }
        stopping.notify()
        room.notify()
        timetable.notify()
    }

    // MARK: Taking messages

    private func takeMessages(_ carriers: inout DiscardingTaskGroup) async {
        var pause = configuration.queuePause
        while stopping.version == 0, !Task.isCancelled {
            let version = room.version
            let limit = state.withLock { $0.held.room }
            guard limit > 0 else {
                await room.wait(past: version)
                continue
            }
            do {
                let messages = try await queue.lease(limit: limit, duration: configuration.leaseDuration)
                state.withLock { state in
                    for message in messages { state.held.insert(message) }
                    state.counters.leased += messages.count
                }
                for message in messages {
                    carriers.addTask { await self.carry(message) }
                }
                if messages.isEmpty {
                    try await untilStopped { try await self.queue.waitUntilReady() }
                }
                pause = configuration.queuePause
            } catch {
                report(error)
                let end = configuration.clock.now() + pause
                pause = min(pause * 2, configuration.maximumQueuePause)
                try? await untilStopped { try await self.configuration.clock.sleep(until: end) }
            }
        }
    }

    /// Runs `body`, and cancels it when a stop is asked for.
    private func untilStopped(_ body: @escaping @Sendable () async throws -> Void) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await self.stopping.wait(past: 0) }
            group.addTask { try await body() }
            defer { group.cancelAll() }
            try await group.next()
        }
    }

    // MARK: Carrying one message

    private func carry(_ leased: LeasedMessage) async {
        var machine = DeliveryStateMachine(
            message: leased.message, record: leased.attempts, policy: configuration.retries)
        var disposition: DeliveryStateMachine.Disposition
        repeat {
            switch machine.begin(now: configuration.clock.now()) {
            case .complete(let result): disposition = .complete(result)
            case .offer: disposition = await attempt(leased, &machine)
            }
            // An evicted request goes back to the pool from here: its lease is ours, and its place in the pool's order is
            // ahead of all that the queue still holds.
        } while disposition == .requeueNow && !isStopping
        await settle(leased.lease, disposition, machine.record)
        state.withLock { $0.held.remove(leased.lease) }
        room.notify()
    }

    private var isStopping: Bool { stopping.version > 0 || Task.isCancelled }

    /// Offers the message once, and takes it back if it is interrupted meanwhile.
    private func attempt(
        _ leased: LeasedMessage, _ machine: inout DeliveryStateMachine
    ) async -> DeliveryStateMachine.Disposition {
        let lease = leased.lease
        let isEarlier = state.withLock { state in state.held.offer(lease) < state.nextWake }
        if isEarlier { timetable.notify() }
        let (outcome, startedAt) = await withTaskGroup(of: Event.self) { group in
            group.addTask {
                let request = AsyncRequest(leased.message, sequence: lease.sequence)
                return .ended(await self.dispatcher.perform(request) { self.started(lease) })
            }
            group.addTask { .interrupted(await self.interruption(of: lease)) }
            var outcome = AttemptOutcome.withdrawn(.stopping)
            var reason = Withdrawal.stopping
            var startedAt: Instant?
            while let event = await group.next() {
                switch event {
                case .interrupted(let withdrawal?):
                    reason = withdrawal
                    group.cancelAll()
                case .interrupted(nil): break
                case .ended(let ending):
                    outcome = ending
                    let settled = state.withLock { $0.held.settle(lease) }
                    startedAt = settled.started
                    settled.waiter?.resume(returning: nil)
                }
            }
            if case .withdrawn = outcome { outcome = .withdrawn(reason) }
            return (outcome, startedAt)
        }
        if let startedAt { machine.dispatched(at: startedAt) }
        return state.withLock { state in
            if outcome == .evicted { state.counters.evictions += 1 }
            return machine.end(outcome, now: configuration.clock.now(), using: &state.generator)
        }
    }

    private func started(_ lease: Lease) {
        let counted = state.withLock { state in
            guard state.held.start(lease, at: configuration.clock.now()) else { return false }
            state.counters.dispatched += 1
            return true
        }
        if counted { room.notify() }
    }

    /// Suspends until the attempt has to be interrupted, or is over (nil).
    private func interruption(of lease: Lease) async -> Withdrawal? {
        await withCheckedContinuation { waiter in
            let answer: Withdrawal?? = state.withLock { state in
                state.held.register(waiter, for: lease) ? nil : .some(state.held.interruption(of: lease))
            }
            if let answer { waiter.resume(returning: answer) }
        }
    }

    // MARK: Storing what follows

    private func settle(
        _ lease: Lease, _ disposition: DeliveryStateMachine.Disposition, _ record: AttemptRecord
    ) async {
        let queue = queue
        switch disposition {
        case .complete(let result):
            let isStored = await persist { try await queue.complete(lease, with: result) }
            guard isStored else { return }
            state.withLock { state in
                if result.isSuccess {
                    state.counters.succeeded += 1
                } else if result.errorCode == .deadlineExceeded {
                    state.counters.expired += 1
                } else {
                    state.counters.failed += 1
                }
            }
        case .retry(let instant):
            let isStored = await persist { try await queue.release(lease, attempts: record, readyAt: instant) }
            if isStored { state.withLock { $0.counters.retries += 1 } }
        case .requeueNow:
            let isStored = await persist { try await queue.release(lease, attempts: record, readyAt: .zero) }
            if isStored { state.withLock { $0.counters.handedBack += 1 } }
        }
    }

    /// Repeats a write until the queue takes it, or everything is being taken back. Returns whether it took effect.
    ///
    /// What is given up here is not lost: the lease runs out, or the next consumer ends it, and the message is done again.
    private func persist(_ write: @escaping @Sendable () async throws -> Bool) async -> Bool {
        var pause = configuration.queuePause
        while true {
            do {
                let tookEffect = try await write()
                if !tookEffect { state.withLock { $0.counters.lostLeases += 1 } }
                return tookEffect
            } catch {
                report(error)
                if Task.isCancelled || state.withLock({ $0.held.phase == .aborting }) { return false }
                try? await configuration.clock.sleep(until: configuration.clock.now() + pause)
                pause = min(pause * 2, configuration.maximumQueuePause)
            }
        }
    }

    private func report(_ error: any Error) {
        state.withLock { $0.counters.queueErrors += 1 }
        configuration.reportsQueueError(error)
    }

    // MARK: Keeping time

    /// Extends leases, withdraws what is past its deadline, and ends the grace.
    private func keepTime() async {
        let clock = configuration.clock
        let beat = configuration.leaseDuration * (1.0 / 3)
        var nextBeat = clock.now() + beat
        while !Task.isCancelled {
            let version = timetable.version
            let now = clock.now()
            if now >= nextBeat {
                await extendLeases()
                nextBeat = clock.now() + beat
            }
            withdrawOverdue(now: now)
            let wake = state.withLock { state in
                state.nextWake = min(
                    nextBeat, state.held.earliestDeadline ?? .distantFuture,
                    state.held.phase == .aborting ? .distantFuture : state.graceEnd ?? .distantFuture)
                return state.nextWake
            }
            guard wake > clock.now() else { continue }
            await withTaskGroup(of: Void.self) { group in
                group.addTask { await self.timetable.wait(past: version) }
                group.addTask { try? await clock.sleep(until: wake) }
                await group.next()
                group.cancelAll()
            }
        }
    }

    private func withdrawOverdue(now: Instant) {
        let (expired, stopped) = state.withLock { state in
            let expired = state.held.takeExpired(now: now)
            let isGraceOver = state.graceEnd.map { now >= $0 } ?? false
            return (expired, isGraceOver ? state.held.enter(.aborting) : [])
        }
        for waiter in expired { waiter.resume(returning: .deadlinePassed) }
        for waiter in stopped { waiter.resume(returning: .stopping) }
    }

    private func extendLeases() async {
        let leases = state.withLock { $0.held.leases }
        guard !leases.isEmpty else { return }
        do {
            // A lost lease shows again when its result is refused; the work may still be the first to finish.
            _ = try await queue.extend(leases, duration: configuration.leaseDuration)
        } catch {
            report(error)
        }
    }
}
