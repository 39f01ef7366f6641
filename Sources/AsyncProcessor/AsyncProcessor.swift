import Basics
public import Delivery
public import MessageQueues
import Synchronization

/// Takes messages from a queue, offers them to the pool, and stores one result for each.
///
/// The shell around `ConsumerStateMachine`: performs its actions, each in a task of its own, and tells it what came of
/// them. When a request starts is up to the dispatcher.
public final class AsyncProcessor: Sendable {
    /// How a processor works.
    public struct Configuration: Sendable {
        /// What the decisions are made by.
        public var consumer: ConsumerConfiguration
        /// The seed of the jitter.
        public var seed: UInt64 = 0
        /// The source of the time.
        public var clock: any DeliveryClock = SystemClock()
        /// Told of each failure of the queue, for the log.
        public var reportsQueueError: @Sendable (any Error) -> Void = { _ in }
        /// Told of the end of each attempt, for the metrics.
        public var observesAttempt: (@Sendable (AttemptObservation) -> Void)?

        /// The defaults for a queue.
        public init(consumer: ConsumerConfiguration = .init()) { self.consumer = consumer }
    }

    private struct State {
        var machine: ConsumerStateMachine
        /// The requests that the pool has been offered.
        var offers: [Lease: Task<Void, Never>] = [:]
        /// Waits for messages to be ready.
        var readyWait: Task<Void, Never>?
        /// When the timekeeper will wake by itself.
        var nextWake: DeliveryTime
    }

    /// Time is looked at this often at least, in case somebody has corrected the machine's clock.
    private static let longestSleep = TimeSpan.seconds(1)

    private let queue: any MessageQueue
    private let dispatcher: any InferenceDispatcher
    private let configuration: Configuration
    private let state: Mutex<State>
    /// The timekeeper has something to do earlier than it thought.
    private let timetable = ChangeSignal()
    /// Past version 0 once no message is in hand any more, after a stop.
    private let done = ChangeSignal()

    /// Creates a processor; `run()` starts it.
    public init(queue: any MessageQueue, dispatcher: any InferenceDispatcher, configuration: Configuration) {
        self.queue = queue
        self.dispatcher = dispatcher
        self.configuration = configuration
        let now = configuration.clock.time
        state = Mutex(
            State(
                machine: ConsumerStateMachine(
                    configuration: configuration.consumer, seed: configuration.seed, now: now),
                nextWake: now))
    }

    /// What has been done, and what is in hand.
    public var counters: ConsumerCounters { state.withLock { $0.machine.counters } }

    /// Targets that are failing and are left alone, by name.
    public var failingTargets: [String] { state.withLock { $0.machine.failingTargets } }

    /// Works until `stop()` is called or the task is cancelled; returns when no message is in hand any more.
    ///
    /// A stop lets requests that have started finish within the grace; cancelling takes everything back at once. Messages
    /// that are not finished by then are back in the queue.
    public func run() async {
        let helpers = [Task { await keepTime() }, Task { await watchCancellations() }]
        feed { $0.begin(now: $1) }
        await withTaskCancellationHandler {
            // Not a wait that cancellation ends: what is in hand has to be given back first.
            await Task { await done.wait(past: 0) }.value
        } onCancel: {
            queue.stopLeasing()
            feed { $0.abort(now: $1) }
        }
        for helper in helpers { helper.cancel() }
        state.withLock { $0.readyWait }?.cancel()
        for helper in helpers { await helper.value }
    }

    /// Asks for a stop: nothing new is taken, what waits goes back at once, what has started may finish.
    public func stop() {
        queue.stopLeasing()
        feed { $0.stop(now: $1) }
    }

    /// Tells how full the queue is, which keeps retries from outrunning fresh work.
    public func observe(_ depth: QueueDepth) {
        state.withLock { $0.machine.observeBacklog(ready: depth.ready, delayed: depth.delayed) }
    }

    // MARK: Events

    /// Tells the machine what has happened, and does what follows.
    private func feed(_ event: (inout ConsumerStateMachine, DeliveryTime) -> [ConsumerStateMachine.Action]) {
        for action in decide({ event(&$0.machine, $1) }) { perform(action) }
    }

    /// Asks the machine and returns what is left to do. Offers and waits begin, and are picked to be ended, under the same
    /// lock as the decision, so that threads that overtake one another cannot mix up an earlier one with a later one.
    private func decide(
        _ event: (inout State, DeliveryTime) -> [ConsumerStateMachine.Action]
    ) -> [ConsumerStateMachine.Action] {
        var actions: [ConsumerStateMachine.Action] = []
        var ended: [Task<Void, Never>] = []
        let (isEarlier, isDone) = state.withLock { state in
            // The clock is read under the lock, so that the machine never sees time run backwards.
            let now = configuration.clock.time
            for action in event(&state, now) {
                switch action {
                case .offer(let leased): state.offers[leased.lease] = Task { await carry(leased) }
                case .withdraw(let lease): if let offer = state.offers[lease] { ended.append(offer) }
                case .awaitReady(let excluded):
                    if let wait = state.readyWait { ended.append(wait) }
                    state.readyWait = Task { await awaitReady(excluding: excluded) }
                case .take:
                    if let wait = state.readyWait { ended.append(wait) }
                    state.readyWait = nil
                    actions.append(action)
                default: actions.append(action)
                }
            }
            let wake = state.machine.nextWake(now: now)
            let isEarlier = wake.steady < state.nextWake.steady || wake.wall < state.nextWake.wall
            if isEarlier { state.nextWake = wake }
            return (isEarlier, state.machine.isDone)
        }
        for task in ended { task.cancel() }
        if isEarlier { timetable.notify() }
        if isDone { done.notify() }
        return actions
    }

    private func keepTime() async {
        while !Task.isCancelled {
            let version = timetable.version
            // Asked at the very time of the tick: what became due between the two would be taken for looked at.
            let actions = decide { state, now in
                let actions = state.machine.tick(now: now)
                state.nextWake = state.machine.nextWake(now: now)
                return actions
            }
            for action in actions { perform(action) }
            let wake = state.withLock { $0.nextWake }
            let now = configuration.clock.time
            let pause = min(wake.steady - now.steady, wake.wall - now.wall, Self.longestSleep)
            guard pause > .zero else { continue }
            await withTaskGroup(of: Void.self) { group in
                group.addTask { await self.timetable.wait(past: version) }
                group.addTask { try? await self.configuration.clock.sleep(for: pause) }
                await group.next()
                group.cancelAll()
            }
        }
    }

    private func watchCancellations() async {
        while !Task.isCancelled {
            do {
                let leases = try await queue.nextCancellations()
                if !leases.isEmpty { feed { $0.cancelled(leases, now: $1) } }
            } catch {
                await pauseAfter(error)
            }
        }
    }

    private func pauseAfter(_ error: any Error) async {
        if error is CancellationError { return }
        configuration.reportsQueueError(error)
        try? await configuration.clock.sleep(for: configuration.consumer.queuePause)
    }

    // MARK: Actions

    private func perform(_ action: ConsumerStateMachine.Action) {
        switch action {
        case .take, .takeOverdue, .complete, .release, .extend: Task { await carryOut(action) }
        case .awaitReady, .offer, .withdraw: break
        }
    }

    /// Performs an action that is a call of the queue.
    private func carryOut(_ action: ConsumerStateMachine.Action) async {
        let duration = configuration.consumer.leaseDuration
        switch action {
        case .take(let limit, let excluded):
            await call {
                try await self.queue.lease(limit: limit, duration: duration, excluding: excluded)
            } then: { messages, machine, now in
                machine.taken(messages, isOverdue: false, now: now)
            } orElse: { machine, now in
                machine.takeFailed(isOverdue: false, now: now)
            }
        case .takeOverdue(let instant, let limit):
            await call {
                try await self.queue.leaseOverdue(before: instant, limit: limit, duration: duration)
            } then: { messages, machine, now in
                machine.taken(messages, isOverdue: true, now: now)
            } orElse: { machine, now in
                machine.takeFailed(isOverdue: true, now: now)
            }
        case .complete(let lease, let result):
            await call {
                try await self.queue.complete(lease, with: result)
            } then: { tookEffect, machine, now in
                machine.stored(lease, tookEffect: tookEffect, now: now)
            } orElse: { machine, now in
                machine.storeFailed(lease, now: now)
            }
        case .release(let lease, let attempts, let readyAt):
            await call {
                try await self.queue.release(lease, attempts: attempts, readyAt: readyAt)
            } then: { tookEffect, machine, now in
                machine.stored(lease, tookEffect: tookEffect, now: now)
            } orElse: { machine, now in
                machine.storeFailed(lease, now: now)
            }
        case .extend(let leases):
            await call {
                try await self.queue.extend(leases, duration: duration)
            } then: { lost, machine, now in
                machine.extended(lost: lost, now: now)
            } orElse: { machine, now in
                machine.extendFailed(now: now)
            }
        case .awaitReady, .offer, .withdraw: break
        }
    }

    private func call<Value>(
        _ body: () async throws -> Value,
        then event: (Value, inout ConsumerStateMachine, DeliveryTime) -> [ConsumerStateMachine.Action],
        orElse failure: (inout ConsumerStateMachine, DeliveryTime) -> [ConsumerStateMachine.Action]
    ) async {
        do {
            let value = try await body()
            feed { event(value, &$0, $1) }
        } catch {
            configuration.reportsQueueError(error)
            feed(failure)
        }
    }

    private func awaitReady(excluding excluded: Set<String>) async {
        do {
            try await queue.waitUntilReady(excluding: excluded)
        } catch {
            await pauseAfter(error)
        }
        if !Task.isCancelled { feed { $0.mayBeReady(now: $1) } }
    }

    /// Has the pool carry one request, and stores what follows from its end.
    private func carry(_ leased: LeasedMessage) async {
        let lease = leased.lease
        let request = AsyncRequest(leased)
        let outcome: AttemptOutcome
        if let observesAttempt = configuration.observesAttempt {
            let offered = configuration.clock.steady()
            let startedAt = Mutex<Instant?>(nil)
            outcome = await dispatcher.perform(request) {
                startedAt.withLock { $0 = self.configuration.clock.steady() }
                self.feed { $0.started(lease, now: $1) }
            }
            if let started = startedAt.withLock({ $0 }) {
                observesAttempt(
                    AttemptObservation(
                        waited: started - offered, took: configuration.clock.steady() - started, outcome: outcome))
            }
        } else {
            outcome = await dispatcher.perform(request) { self.feed { $0.started(lease, now: $1) } }
        }
        let actions = decide { state, now in
            state.offers[lease] = nil
            return state.machine.ended(lease, outcome, now: now)
        }
        for action in actions {
            switch action {
            case .complete(lease, _), .release(lease, _, _): await carryOut(action)
            default: perform(action)
            }
        }
    }
}
