import Basics
import Delivery
import Testing

/// A consumer in a test's hands: a small queue answers it by itself, the pool and the time are the test's.
struct ScriptedConsumer {
    typealias Action = ConsumerStateMachine.Action

    /// A message that lies in the queue.
    private struct Shelved {
        let sequence: Int64
        let message: InferenceMessage
        var attempts = AttemptRecord()
        var readyAt = epoch
    }

    /// A message that was given back.
    struct Release: Equatable {
        let id: String
        let readyAt: Instant
        let attempts: AttemptRecord
    }

    private(set) var machine: ConsumerStateMachine
    private(set) var now = DeliveryTime(wall: epoch, steady: Instant(seconds: 5000))

    // The queue.
    private var shelf: [Shelved] = []
    private var out: [Lease: LeasedMessage] = [:]
    private var lastSequence: Int64 = 0
    private var lastToken: Int64 = 0
    private var wait: Set<String>?
    /// What the queue has not answered, because the test told it to wait.
    private var unanswered: [Action] = []
    /// Every call of the queue fails.
    var isQueueDown = false
    /// Calls of the queue stay unanswered until `answerCalls()`.
    var isQueueSlow = false
    /// Leased messages do not reach the consumer before `handOver()`.
    var holdsAnswers = false
    private var heldBack: [(messages: [LeasedMessage], isOverdue: Bool)] = []
    /// Extended leases are reported as lost when these are among them.
    var lostLeases: Set<String> = []

    // What was seen.
    private(set) var results: [InferenceResult] = []
    private(set) var releases: [Release] = []
    private(set) var takes: [(limit: Int, excluded: Set<String>)] = []
    private(set) var overdueLooks: [Instant] = []
    private(set) var extensions: [(at: Instant, ids: [String])] = []
    private(set) var writes: [(at: Instant, id: String)] = []
    /// Every offer, in order.
    private(set) var offers: [String] = []
    private(set) var withdrawals: [String] = []
    /// Requests with the pool.
    private var offered: [String: Lease] = [:]
    /// A request that is taken back ends with this at once; nil leaves that to the test.
    var answerToWithdrawal: AttemptOutcome? = .withdrawn

    init(seed: UInt64 = 1, _ change: (inout ConsumerConfiguration) -> Void = { _ in }) {
        var configuration = ConsumerConfiguration(queue: "nightly")
        change(&configuration)
        machine = ConsumerStateMachine(configuration: configuration, seed: seed, now: now)
    }

    // MARK: What the test looks at

    var counters: ConsumerCounters { machine.counters }

    /// Ids that are with the pool.
    var withPool: Set<String> { Set(offered.keys) }

    /// Ids that lie in the queue, whether their time has come or not.
    var inQueue: [String] { shelf.map(\.message.id) }

    /// When the consumer wants to be woken.
    var nextWake: DeliveryTime {
        var machine = machine
        return machine.nextWake(now: now)
    }

    func result(_ id: String) throws -> InferenceResult {
        let found = results.filter { $0.id == id }
        try #require(found.count == 1, "\(id) has \(found.count) results")
        return found[0]
    }

    // MARK: What the test does

    mutating func begin() { feed { $0.begin(now: $1) } }

    /// Puts messages into the queue.
    mutating func submit(_ messages: [InferenceMessage]) {
        for message in messages {
            lastSequence += 1
            shelf.append(Shelved(sequence: lastSequence, message: message))
        }
        tellIfReady()
    }

    mutating func submit(_ ids: [String], model: String = "llama", window: TimeSpan = .seconds(3600)) {
        submit(
            ids.map {
                var message = message($0, model: model)
                message.deadline = now.wall + window
                return message
            })
    }

    mutating func start(_ id: String) {
        if let lease = offered[id] { feed { $0.started(lease, now: $1) } }
    }

    mutating func end(_ id: String, _ outcome: AttemptOutcome) {
        if let lease = offered.removeValue(forKey: id) { feed { $0.ended(lease, outcome, now: $1) } }
    }

    mutating func serve(_ id: String, _ outcome: AttemptOutcome = answer(200), taking span: TimeSpan = .zero) {
        start(id)
        pass(span)
        end(id, outcome)
    }

    /// The owners of messages in the consumer's hands take them back.
    mutating func cancel(_ ids: [String]) {
        let leases = out.filter { ids.contains($0.value.message.id) }.keys.sorted { $0.sequence < $1.sequence }
        feed { $0.cancelled(leases, now: $1) }
    }

    mutating func stop() { feed { $0.stop(now: $1) } }
    mutating func abort() { feed { $0.abort(now: $1) } }
    mutating func observeBacklog(ready: Int, delayed: Int) { machine.observeBacklog(ready: ready, delayed: delayed) }

    /// The queue answers what it was asked while it was slow.
    mutating func answerCalls() {
        let actions = unanswered
        unanswered = []
        isQueueSlow = false
        for action in actions { call(action) }
    }

    /// Messages that were leased before reach the consumer.
    mutating func handOver() {
        holdsAnswers = false
        for held in heldBack { feed { $0.taken(held.messages, isOverdue: held.isOverdue, now: $1) } }
        heldBack = []
    }

    /// Lets time pass, waking the consumer whenever it asked for that.
    mutating func pass(_ span: TimeSpan) {
        let end = now.steady + span
        var idleWakes = 0
        while true {
            let wake = machine.nextWake(now: now)
            let pause = min(wake.steady - now.steady, wake.wall - now.wall, nextReady() - now.wall)
            // Woken at a time that it named itself, it must not name the same time again.
            idleWakes = pause <= .zero ? idleWakes + 1 : 0
            guard idleWakes < 3 else {
                Issue.record("asks to be woken again and again at \(now.steady)")
                return
            }
            guard now.steady + pause <= end else { break }
            advance(max(pause, .zero))
            tellIfReady()
            feed { $0.tick(now: $1) }
        }
        advance(end - now.steady)
    }

    /// Somebody corrects the machine's clock.
    mutating func moveWallClock(_ span: TimeSpan) {
        now.wall = now.wall + span
        feed { $0.tick(now: $1) }
        tellIfReady()
    }

    // MARK: The queue

    private mutating func advance(_ span: TimeSpan) {
        now.wall = now.wall + span
        now.steady = now.steady + span
    }

    private func nextReady() -> Instant {
        guard let wait else { return .distantFuture }
        return shelf.filter { !wait.contains($0.message.target) }.map(\.readyAt).min() ?? .distantFuture
    }

    private mutating func tellIfReady() {
        guard wait != nil, nextReady() <= now.wall, !isQueueDown else { return }
        wait = nil
        feed { $0.mayBeReady(now: $1) }
    }

    private mutating func feed(_ event: (inout ConsumerStateMachine, DeliveryTime) -> [Action]) {
        for action in event(&machine, now) { perform(action) }
    }

    private mutating func perform(_ action: Action) {
        switch action {
        case .offer(let leased):
            offers.append(leased.message.id)
            #expect(offered[leased.message.id] == nil, "\(leased.message.id) is offered twice")
            offered[leased.message.id] = leased.lease
        case .withdraw(let lease):
            guard let id = offered.first(where: { $0.value == lease })?.key else { return }
            withdrawals.append(id)
            if let answerToWithdrawal { end(id, answerToWithdrawal) }
        case .awaitReady(let excluded):
            wait = excluded
            tellIfReady()
        case .take, .takeOverdue, .complete, .release, .extend:
            note(action)
            if isQueueSlow { unanswered.append(action) } else { call(action) }
        }
    }

    private mutating func note(_ action: Action) {
        switch action {
        case .take(let limit, let excluded): takes.append((limit, excluded))
        case .takeOverdue(let instant, _): overdueLooks.append(instant)
        case .extend(let leases): extensions.append((now.steady, leases.compactMap { out[$0]?.message.id }))
        case .complete(let lease, _), .release(let lease, _, _):
            writes.append((now.steady, out[lease]?.message.id ?? ""))
        case .awaitReady, .offer, .withdraw: break
        }
    }

    private mutating func call(_ action: Action) {
        let isUp = !isQueueDown
        switch action {
        case .take(let limit, let excluded):
            wait = nil
            guard isUp else { return feed { $0.takeFailed(isOverdue: false, now: $1) } }
            let messages = lease(limit) { $0.readyAt <= $1 && !excluded.contains($0.message.target) }
            give(messages, isOverdue: false)
        case .takeOverdue(let instant, let limit):
            guard isUp else { return feed { $0.takeFailed(isOverdue: true, now: $1) } }
            let messages = lease(limit) { shelved, _ in shelved.message.deadline < instant }
            give(messages, isOverdue: true)
        case .complete(let lease, let result):
            guard isUp else { return feed { $0.storeFailed(lease, now: $1) } }
            let wasOurs = out.removeValue(forKey: lease) != nil
            if wasOurs { results.append(result) }
            feed { $0.stored(lease, tookEffect: wasOurs, now: $1) }
        case .release(let lease, let attempts, let readyAt):
            guard isUp else { return feed { $0.storeFailed(lease, now: $1) } }
            let leased = out.removeValue(forKey: lease)
            if let leased {
                releases.append(Release(id: leased.message.id, readyAt: readyAt, attempts: attempts))
                shelf.append(
                    Shelved(
                        sequence: lease.sequence, message: leased.message, attempts: attempts, readyAt: readyAt))
                shelf.sort { $0.sequence < $1.sequence }
            }
            feed { $0.stored(lease, tookEffect: leased != nil, now: $1) }
            tellIfReady()
        case .extend(let leases):
            guard isUp else { return feed { $0.extendFailed(now: $1) } }
            let lost = leases.filter { lostLeases.contains(out[$0]?.message.id ?? "") }
            for lease in lost { out[lease] = nil }
            feed { $0.extended(lost: lost, now: $1) }
        case .awaitReady, .offer, .withdraw: break
        }
    }

    private mutating func give(_ messages: [LeasedMessage], isOverdue: Bool) {
        guard !holdsAnswers else { return heldBack.append((messages, isOverdue)) }
        feed { $0.taken(messages, isOverdue: isOverdue, now: $1) }
    }

    private mutating func lease(_ limit: Int, where passes: (Shelved, Instant) -> Bool) -> [LeasedMessage] {
        let taken = shelf.filter { passes($0, now.wall) }.prefix(limit)
        let sequences = Set(taken.map(\.sequence))
        shelf.removeAll { sequences.contains($0.sequence) }
        return taken.map { shelved in
            lastToken += 1
            let leased = LeasedMessage(
                lease: Lease(sequence: shelved.sequence, token: lastToken), message: shelved.message,
                attempts: shelved.attempts, generation: "g\(shelved.sequence)", enqueued: epoch)
            out[leased.lease] = leased
            return leased
        }
    }
}
