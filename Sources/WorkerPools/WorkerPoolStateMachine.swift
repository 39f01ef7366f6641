public import Basics
import DequeModule
public import DispatchGates

/// Which waiting request of several queues gets the next free worker of a pool, and whether the gates let it.
///
/// Events in, actions out. Nothing that waits occupies a worker: a worker is a request under way. A request passes the gate
/// of its queue and then the gate of the pool; what gates reserve for it is held until it has ended. Where a gate has to ask
/// for a quota, a worker is kept free for the request for as long as such answers usually take; then others may go, and an
/// answer that comes later makes the request the first to go in its turn. The budgets of the
/// gates bound how much may be under way, as a share of the workers (documented meaning of shared reference
/// `async-processor.md` 4.3: at most workers × budget, none at 0). Times are steady.
public struct WorkerPoolStateMachine: Sendable {
    /// What the shell is to do.
    public enum Action: Hashable, Sendable {
        /// Send the request; answer with `ended`. `labels` are its own and those that gates gave it.
        case start(UInt64, labels: [String: String])
        /// Give the request back to its queue for a while.
        case postpone(UInt64, reason: String, pause: TimeSpan)
        /// End the request: a gate wants it never to run.
        case drop(UInt64, reason: String)
        /// Ask for this quota; answer with `acquired` or `acquireFailed`.
        case acquire(UInt64, QuotaRequest)
        /// Return these quotas.
        case giveBack([QuotaRequest])
    }

    struct Queue {
        var labels: [String: String]
        var gate: DispatchGate?
        var line = Line()
        /// Requests that have passed its gate and have not ended.
        var used = 0
        /// Questions for quotas on the way through its gate.
        var asking = 0
        var refused = 0
        var decisions = GateDecisions()
        var isClosed = false
    }

    struct Running {
        let queue: String
        let model: String?
        let startedAt: Instant
    }

    /// For how long a worker is kept for a request whose quota is asked for: many times what Redis takes to answer.
    static let patience = TimeSpan.milliseconds(20)

    let configuration: WorkerPoolConfiguration
    var generator: SeededGenerator
    var gate: DispatchGate?
    var queues: [String: Queue] = [:]
    /// The names of the queues in a fixed order, so that equal histories act equally.
    var names: [String] = []
    var waiting: [UInt64: WaitingRequest] = [:]
    var running: [UInt64: Running] = [:]
    /// Requests whose quota is being asked for, and until when each keeps a worker free for itself.
    var asking: [UInt64: Instant] = [:]
    /// Requests that wait for nothing but a worker: the gate of the pool holds what it has reserved for them.
    var cleared = 0
    /// Questions for quotas whose request has gone: the gate that asked is still to be told of the answer.
    var abandoned: [UInt64: (queue: String, isForQueue: Bool)] = [:]
    /// In the order in which they came; those that have gone are skipped.
    var arrivals: Deque<UInt64> = []
    var lastOrder: UInt64 = 0
    var oldGoesNext = true
    /// What the last answers about quotas were.
    var quotas = QuotaMemory()
    /// The first end of a waiting request's rest, or earlier.
    var restEnds: Instant?
    /// What the gate of the pool has decided against.
    var poolDecisions = GateDecisions()
    var isPoolClosed = false
    /// What the gateway has room for; nil if it does not say.
    var credits: [CapacityCredit]?

    /// Creates a pool without queues.
    public init(_ configuration: WorkerPoolConfiguration, gate: DispatchGate?, seed: UInt64) {
        self.configuration = configuration
        self.gate = gate
        generator = SeededGenerator(seed: seed)
    }

    /// Adds a queue; its labels win over those of its messages.
    public mutating func addQueue(_ name: String, labels: [String: String], gate: DispatchGate?) {
        if queues[name] == nil { names = (names + [name]).sorted() }
        queues[name] = Queue(labels: labels, gate: gate)
    }

    // MARK: What there is

    /// What the gates have to be told of.
    public var sources: Set<GateSource> {
        queues.values.reduce(into: gate?.sources ?? []) { $0.formUnion($1.gate?.sources ?? []) }
    }

    /// Requests under way.
    public var runningCount: Int { running.count }

    /// Requests that no worker has yet.
    public var waitingCount: Int { waiting.count }

    /// Requests of one queue that have passed its gate and have not ended.
    public func used(by queue: String) -> Int { queues[queue]?.used ?? 0 }

    /// The state of the pool's gate, for the metrics.
    public var poolGate: DispatchGate? { gate }

    /// The state of the gate of a queue, for the metrics.
    public func gate(of queue: String) -> DispatchGate? { queues[queue]?.gate }

    /// What the gate of the pool has decided against since the start.
    public var decisions: GateDecisions { poolDecisions }

    /// What the gate of a queue has decided against since the start.
    public func decisions(of queue: String) -> GateDecisions { queues[queue]?.decisions ?? GateDecisions() }

    /// Workers that may be busy at present: by the budget of the pool's gate and what the gateway has room for.
    public func limit(now: Instant) -> Int {
        min(share(gate, now: now), totalCredit ?? .max)
    }

    /// When `tick` is to be called although nothing happens; nil if nothing changes by time alone.
    public func nextWake(now: Instant) -> Instant? {
        guard !waiting.isEmpty else { return nil }
        var next: Instant?
        func consider(_ instant: Instant?) {
            if let instant, instant > now { next = min(next ?? instant, instant) }
        }
        consider(gate?.opensAt(now: now))
        for queue in queues.values { consider(queue.gate?.opensAt(now: now)) }
        consider(quotas.next(after: now))
        consider(restEnds)
        for keptUntil in asking.values { consider(keptUntil) }
        return next
    }

    // MARK: Events

    /// A request of a queue that was added wants a worker. Its id must be new.
    public mutating func offered(_ subject: GateSubject, now: Instant) -> [Action] {
        guard let queue = queues[subject.queue], waiting[subject.id] == nil, running[subject.id] == nil else {
            return []
        }
        var subject = subject
        subject.labels.merge(queue.labels) { $1 }
        lastOrder += 1
        let key = LineKey(rank: rank(of: subject), deadline: subject.deadline, order: lastOrder)
        waiting[subject.id] = WaitingRequest(subject: subject, key: key, offeredAt: now)
        queues[subject.queue]?.line.insert(subject.id, key)
        if configuration.ageing != nil { arrivals.append(subject.id) }
        return pump(now: now)
    }

    /// The request does not want a worker any more. One that is under way is `ended` all the same.
    public mutating func withdrawn(_ id: UInt64, now: Instant) -> [Action] {
        guard waiting[id] != nil else { return [] }
        leave(id)
        return pump(now: now)
    }

    /// A quota was granted or is exhausted.
    public mutating func acquired(_ id: UInt64, _ quota: QuotaRequest, granted: Bool, now: Instant) -> [Action] {
        var isPaced = false
        if granted {
            quotas.forget(quota)
        } else {
            quotas.note(.exhausted, of: quota, now: now, chance: generator.unit())
            if let entry = waiting[id] {
                let isForQueue = entry.stage == .askingForQueue
                isPaced = (isForQueue ? queues[entry.subject.queue]?.gate : gate)?.refusalBlocks(id) ?? false
                count(isForQueue: isForQueue, entry.subject.queue) { $0.exhaustedQuotas += 1 }
            }
        }
        return answered(id, quota, isPaced: isPaced, now: now) { gate in gate.resume(id, granted: granted, now: now) }
    }

    /// A quota could not be asked for.
    public mutating func acquireFailed(_ id: UInt64, _ quota: QuotaRequest, now: Instant) -> [Action] {
        quotas.note(.unreachable, of: quota, now: now, chance: generator.unit())
        if let entry = waiting[id] {
            count(isForQueue: entry.stage == .askingForQueue, entry.subject.queue) { $0.errors += 1 }
        }
        return answered(id, quota, isPaced: true, now: now) { gate in gate.acquireFailed(id, now: now) }
    }

    /// A request that was started is over.
    public mutating func ended(_ id: UInt64, _ lesson: GateLesson, now: Instant) -> [Action] {
        guard let request = running.removeValue(forKey: id) else { return [] }
        gate?.learn(lesson, of: id, sentAt: request.startedAt, now: now)
        queues[request.queue]?.gate?.learn(lesson, of: id, sentAt: request.startedAt, now: now)
        queues[request.queue]?.used -= 1
        gate?.release(id)
        queues[request.queue]?.gate?.release(id)
        wakeFirstAtRest()
        return pump(now: now)
    }

    /// A source of the gates has been asked.
    public mutating func observed(_ reading: GateReading, of source: GateSource, now: Instant) -> [Action] {
        gate?.observe(reading, of: source, now: now)
        for name in names { queues[name]?.gate?.observe(reading, of: source, now: now) }
        return pump(now: now)
    }

    /// What the gateway has room for, in requests of this pool under way or waiting there; nil if it does not say.
    public mutating func creditChanged(to credits: [CapacityCredit]?, now: Instant) -> [Action] {
        self.credits = credits
        return pump(now: now)
    }

    /// Time has passed.
    public mutating func tick(now: Instant) -> [Action] { pump(now: now) }
}

extension Optional {
    /// Works on the value in place, if there is one.
    mutating func mutate<Result>(_ body: (inout Wrapped) -> Result) -> Result? {
        guard var value = self else { return nil }
        self = nil
        defer { self = value }
        return body(&value)
    }
}
