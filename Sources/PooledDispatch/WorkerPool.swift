public import AsyncProcessor
import Basics
import Delivery
public import DispatchGates
public import MessageQueues
import Synchronization
public import WorkerPools

/// Where the quotas of gates are kept.
public protocol QuotaSource: Sendable {
    /// Takes one unit of a quota; false if there is none left at present.
    func acquire(_ quota: QuotaRequest) async throws -> Bool
    /// Returns quotas that were taken. What cannot be returned expires.
    func giveBack(_ quotas: [QuotaRequest]) async
}

/// What a gate says at one moment.
public struct GateReport: Sendable {
    /// Each of its elements.
    public let statuses: [GateStatus]
    /// Its budget by upstream's formulas, free shares included: 0 closed ... 1.
    public let budget: Double
    /// Requests that hold something in it.
    public let held: Int
    /// What it has decided against since the start.
    public let decisions: GateDecisions

    init(_ gate: DispatchGate, _ decisions: GateDecisions, now: Instant) {
        self.decisions = decisions
        statuses = gate.statuses(now: now)
        budget = gate.reportedBudget(now: now)
        held = gate.heldCount
    }
}

/// A number of requests at a time, shared by the queues that name this pool.
///
/// The shell around `WorkerPoolStateMachine`. Each queue gets its own `InferenceDispatcher` from `dispatcher(for:to:)`.
public final class WorkerPool: Sendable {
    /// What was decided about a waiting request.
    enum Decision: Sendable {
        case start(labels: [String: String])
        case postpone(reason: String, pause: TimeSpan)
        case drop(reason: String)
        case withdrawn
    }

    private struct State {
        var machine: WorkerPoolStateMachine
        var continuations: [UInt64: CheckedContinuation<Decision, Never>] = [:]
        /// Decisions that came before somebody waited for them.
        var decided: [UInt64: Decision] = [:]
        var lastID: UInt64 = 0
        var nextWake: Instant?
    }

    /// The name of the pool.
    public let name: String
    private let tierLabel: String
    private let clock: any DeliveryClock
    private let quotas: any QuotaSource
    private let state: Mutex<State>
    private let timetable = ChangeSignal()

    /// Creates a pool without queues.
    public init(
        _ configuration: WorkerPoolConfiguration, gate: DispatchGate?, quotas: any QuotaSource,
        clock: any DeliveryClock = SystemClock(), seed: UInt64
    ) {
        name = configuration.name
        tierLabel = configuration.tierLabel
        self.clock = clock
        self.quotas = quotas
        state = Mutex(State(machine: WorkerPoolStateMachine(configuration, gate: gate, seed: seed)))
    }

    /// The way of one queue's requests through the pool to where `next` carries them.
    ///
    /// - Parameters:
    ///   - labels: of the queue; they win over those of its messages.
    ///   - stamp: how the lane of the tier-priority policy is told, if it is.
    public func dispatcher(
        for queue: String, labels: [String: String], gate: DispatchGate?, stamp: LaneStamp? = nil,
        to next: any InferenceDispatcher
    ) -> PooledDispatcher {
        state.withLock { $0.machine.addQueue(queue, labels: labels, gate: gate) }
        return PooledDispatcher(pool: self, queue: queue, tierLabel: tierLabel, stamp: stamp, next: next)
    }

    /// What the gates have to be told of.
    public var sources: Set<GateSource> { state.withLock { $0.machine.sources } }

    /// Requests that no worker has yet, and those under way.
    public var counts: (waiting: Int, running: Int) {
        state.withLock { ($0.machine.waitingCount, $0.machine.runningCount) }
    }

    /// Workers that may be busy at present.
    public var limit: Int { state.withLock { $0.machine.limit(now: clock.steady()) } }

    /// What the gate of the pool says at present; nil without a gate.
    public var gateReport: GateReport? {
        let now = clock.steady()
        let (gate, decisions) = state.withLock { ($0.machine.poolGate, $0.machine.decisions) }
        return gate.map { GateReport($0, decisions, now: now) }
    }

    /// What the gate of a queue says at present; nil without a gate.
    public func gateReport(of queue: String) -> GateReport? {
        let now = clock.steady()
        let (gate, decisions) = state.withLock { ($0.machine.gate(of: queue), $0.machine.decisions(of: queue)) }
        return gate.map { GateReport($0, decisions, now: now) }
    }

    /// A source of the gates has been asked.
    public func observe(_ reading: GateReading, of source: GateSource) {
        feed { $0.observed(reading, of: source, now: $1) }
    }

    /// What the gateway has room for, in requests of this pool; nil if it does not say.
    public func creditChanged(to credits: [CapacityCredit]?) { feed { $0.creditChanged(to: credits, now: $1) } }

    /// Looks at what opens by the passing of time, until the task is cancelled.
    public func run() async {
        while !Task.isCancelled {
            let version = timetable.version
            feed { $0.tick(now: $1) }
            guard let wake = state.withLock({ $0.nextWake }) else {
                await timetable.wait(past: version)
                continue
            }
            let pause = wake - clock.steady()
            guard pause > .zero else { continue }
            await withTaskGroup(of: Void.self) { group in
                group.addTask { await self.timetable.wait(past: version) }
                group.addTask { try? await self.clock.sleep(for: pause) }
                await group.next()
                group.cancelAll()
            }
        }
    }

    // MARK: One request

    /// Waits for the word of the gates and for a worker.
    func admit(_ request: AsyncRequest, of queue: String) async -> (id: UInt64, decision: Decision) {
        let subject = state.withLock { state in
            state.lastID += 1
            return GateSubject(
                id: state.lastID, queue: queue, metadata: request.metadata, labels: request.labels,
                tenant: request.tenant, priority: request.priority, model: request.model, deadline: request.deadline)
        }
        feed { $0.offered(subject, now: $1) }
        let decision = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let decided = state.withLock { state -> Decision? in
                    if let decision = state.decided.removeValue(forKey: subject.id) { return decision }
                    // The cancellation handler takes the same lock: it either sees this continuation or is seen here.
                    if Task.isCancelled { return .withdrawn }
                    state.continuations[subject.id] = continuation
                    return nil
                }
                if let decided { continuation.resume(returning: decided) }
            }
        } onCancel: {
            let waiting = state.withLock { $0.continuations.removeValue(forKey: subject.id) }
            waiting?.resume(returning: .withdrawn)
        }
        if case .withdrawn = decision { feed { $0.withdrawn(subject.id, now: $1) } }
        // Started in the moment in which it was taken back: it has ended before anything was sent.
        if case .withdrawn = decision, state.withLock({ $0.decided.removeValue(forKey: subject.id) }) != nil {
            feed { $0.ended(subject.id, .other, now: $1) }
        }
        return (subject.id, decision)
    }

    /// A request that was started is over.
    func ended(_ id: UInt64, _ lesson: GateLesson) { feed { $0.ended(id, lesson, now: $1) } }

    private func feed(_ event: (inout WorkerPoolStateMachine, Instant) -> [WorkerPoolStateMachine.Action]) {
        var resumed: [(CheckedContinuation<Decision, Never>, Decision)] = []
        let (questions, isEarlier) = state.withLock { state in
            let now = clock.steady()
            var questions: [WorkerPoolStateMachine.Action] = []
            func decide(_ id: UInt64, _ decision: Decision) {
                if let continuation = state.continuations.removeValue(forKey: id) {
                    resumed.append((continuation, decision))
                } else {
                    state.decided[id] = decision
                }
            }
            for action in event(&state.machine, now) {
                switch action {
                case .start(let id, let labels): decide(id, .start(labels: labels))
                case .postpone(let id, let reason, let pause): decide(id, .postpone(reason: reason, pause: pause))
                case .drop(let id, let reason): decide(id, .drop(reason: reason))
                case .acquire, .giveBack: questions.append(action)
                }
            }
            let wake = state.machine.nextWake(now: now)
            let former = state.nextWake
            state.nextWake = wake
            return (questions, wake.map { $0 < former ?? .distantFuture } ?? false)
        }
        for (continuation, decision) in resumed { continuation.resume(returning: decision) }
        if isEarlier { timetable.notify() }
        for question in questions { Task { await ask(question) } }
    }

    private func ask(_ question: WorkerPoolStateMachine.Action) async {
        switch question {
        case .acquire(let id, let quota):
            do {
                let granted = try await quotas.acquire(quota)
                feed { $0.acquired(id, quota, granted: granted, now: $1) }
            } catch {
                feed { $0.acquireFailed(id, quota, now: $1) }
            }
        case .giveBack(let returned):
            await quotas.giveBack(returned)
            feed { $0.tick(now: $1) }
        case .start, .postpone, .drop: break
        }
    }
}
