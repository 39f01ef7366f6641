import Basics
import Delivery
import EmbeddedQueue
import GRDB
import MessageQueues

// What `EmbeddedQueue` and `GroupCommit` do around `MessageStore`: gather calls, write them in one transaction, answer.
extension World {
    private struct BadOperation: Error {}

    /// Signals of another process are missed now and then; then this is how soon they are noticed.
    private static let foreignPoll = TimeSpan.seconds(1)

    /// Hands a call to the writer.
    func call(_ operation: QueueOperation, _ process: Process) {
        process.pending.append(operation)
        guard !process.isCommitting else { return }
        process.isCommitting = true
        put(.commit(life: process.life), after: generator.latency(.milliseconds(0.5)))
    }

    /// Writes what has gathered, and sends the answers on their way.
    func commit() throws {
        guard let process else { return }
        process.isCommitting = false
        let batch = process.pending
        process.pending = []
        guard !batch.isEmpty else { return }
        let fails = batch.map { operation in
            guard !isCalm, operation.mayFail else { return false }
            if case .extend = operation, now.steady < extensionsFailUntil { return true }
            return now.steady < queueFailsUntil || generator.chance(profile.queueErrors)
        }
        if fails.contains(true), batch.count > 1 {
            // One bad operation must not fail its neighbours.
            counts.rollbacks += 1
            _ = write(zip(batch, fails), process)
            for pair in zip(batch, fails) {
                let answers = write(CollectionOfOne(pair), process)
                send(answers ?? [failure(of: pair.0)], process)
            }
        } else {
            send(write(zip(batch, fails), process) ?? batch.map(failure), process)
        }
    }

    /// One transaction; nil if it was rolled back.
    private func write(
        _ batch: some Sequence<(QueueOperation, Bool)>, _ process: Process
    ) -> [QueueAnswer]? {
        let before = process.store
        var answers: [QueueAnswer] = []
        // What is noted of an operation counts only once it is committed.
        var notes: [() throws -> Void] = []
        var cursor = lastCursor
        do {
            try database.inTransaction(.immediate) {
                for (operation, fails) in batch {
                    if fails { throw BadOperation() }
                    let (answer, note) = try run(operation, process)
                    let records = operation.mayFinish ? try fetchRecords(after: cursor) : []
                    cursor = records.last?.cursor ?? cursor
                    answers.append(answer)
                    notes.append(note)
                    if !records.isEmpty { notes.append { self.note(records) } }
                }
                try process.store.writeTally(database)
                return .commit
            }
            let changes = process.store.takeChanges()
            for note in notes { try note() }
            tell(hasReady: changes.hasReady, hasCancellations: changes.hasCancellations, process)
            return answers
        } catch is BadOperation {
            counts.queueErrors += 1
            if mutation != .keepsMemoryOfRollback { process.store = before }
            return nil
        } catch {
            process.store = before
            violate(.nothingLost, "the database failed: \(error)")
            return nil
        }
    }

    /// One operation in its transaction: its answer, and what the checker notes once it is committed.
    private func run(
        _ operation: QueueOperation, _ process: Process
    ) throws -> (QueueAnswer, () throws -> Void) {
        let duration = profile.consumer.leaseDuration
        switch operation {
        case .lease(let limit, let excluding):
            let token = Int64.random(in: 1...Int64.max, using: &generator)
            let request = LeaseRequest(
                limit: limit, maximumBytes: 64 << 20, duration: duration, excluding: excluding)
            let messages = try process.store.lease(request, token: token, time: now, database)
            let left = try readyMessages(excluding: excluding)
            return (
                .taken(messages, isOverdue: false),
                {
                    self.endLeases()
                    self.noteLeased(messages, isOverdue: false)
                    self.checkOrder(of: messages, limit: limit, left: left)
                }
            )
        case .leaseOverdue(let instant, let limit):
            let token = Int64.random(in: 1...Int64.max, using: &generator)
            let request = LeaseRequest(limit: limit, maximumBytes: 64 << 20, duration: duration)
            let messages = try process.store.leaseOverdue(
                before: instant, request, token: token, time: now, database)
            return (.taken(messages, isOverdue: true), { self.noteLeased(messages, isOverdue: true) })
        case .complete(let lease, let result):
            let tookEffect = try process.store.complete(
                mutation == .ignoresTokens ? holder(of: lease) : lease, with: result,
                line: ResultCodec.encode(result), database)
            return (
                .stored(lease, tookEffect: tookEffect, isResult: true),
                { self.noteCompleted(lease, result, tookEffect: tookEffect) }
            )
        case .release(let lease, let attempts, let readyAt, let asked, let due):
            let tookEffect = try process.store.release(
                lease, attempts: attempts, readyAt: readyAt, time: now, database)
            let isFree = try isReady(lease.sequence)
            return (
                .stored(lease, tookEffect: tookEffect, isResult: false),
                { self.noteReleased(lease, tookEffect: tookEffect, asked: asked, due: due, isFree: isFree) }
            )
        case .extend(let leases):
            let lost = process.store.extend(leases, until: now.steady + duration)
            return (.extended(lost: lost), { self.noteExtended(leases, lost: lost) })
        case .tick:
            try process.store.tick(now, database)
            return (.nothing, { self.endLeases() })
        case .takeCancellations:
            return (.cancellations(try process.store.takeCancellations(database)), {})
        case .enqueue(let ticket):
            return (.enqueued(ticket: ticket), try enqueue(ticket, &process.store))
        case .cancel(let id):
            return (.nothing, try cancel(id, &process.store))
        case .redrive(let id):
            return (.nothing, try redrive(id, &process.store))
        case .purge(let id):
            return (.nothing, try purge(id, &process.store))
        }
    }

    private func holder(of lease: Lease) -> Lease {
        truths[lease.sequence]?.holder.map { Lease(sequence: lease.sequence, token: $0.token) } ?? lease
    }

    private func failure(of operation: QueueOperation) -> QueueAnswer {
        switch operation {
        case .lease: .takeFailed(isOverdue: false)
        case .leaseOverdue: .takeFailed(isOverdue: true)
        case .complete(let lease, _), .release(let lease, _, _, _, _): .storeFailed(lease)
        case .extend: .extendFailed
        case .takeCancellations: .cancellations([])
        case .tick, .enqueue, .cancel, .redrive, .purge: .nothing
        }
    }

    /// Sends answers: late, twice, or as if the write had failed.
    private func send(_ answers: [QueueAnswer], _ process: Process) {
        for answer in answers {
            var answer = answer
            var latency = generator.latency(profile.acknowledgementLatency)
            if !isCalm {
                if generator.chance(profile.lostAcknowledgements), let lost = answer.lost {
                    counts.lostAcknowledgements += 1
                    // Nobody knows of these messages before their leases run out.
                    if case .taken = answer { disturbed = max(disturbed, now.steady) }
                    answer = lost
                }
                if generator.chance(profile.lateAcknowledgements) {
                    disturbed = max(disturbed, now.steady + profile.consumer.leaseDuration)
                    latency = latency + profile.consumer.leaseDuration * (0.5 + generator.unit())
                }
                if generator.chance(profile.repeatedAcknowledgements), answer.mayRepeat {
                    counts.repeatedAcknowledgements += 1
                    put(.answer(life: process.life, answer), after: latency + generator.seconds(0, 2))
                }
            }
            if case .nothing = answer { continue }
            put(.answer(life: process.life, answer), after: latency)
        }
    }

    // MARK: Signals

    /// Tells those in the process who wait.
    func tell(hasReady: Bool, hasCancellations: Bool, _ process: Process) {
        if hasReady, let wait = process.readyWait {
            put(.lookForReady(life: process.life, number: wait.number), after: generator.latency(.milliseconds(0.1)))
        }
        if hasCancellations {
            put(.lookForCancellations(life: process.life), after: generator.latency(.milliseconds(0.1)))
        }
    }

    /// Lets the process hear of what another one has committed; now and then the ring is missed.
    func tellAcrossProcesses(hasReady: Bool, hasCancellations: Bool) {
        guard let process else { return }
        let delay = generator.chance(0.05) ? Self.foreignPoll : generator.latency(.milliseconds(1))
        put(.bell(life: process.life, hasReady: hasReady, hasCancellations: hasCancellations), after: delay)
    }

    func ring(_ hasReady: Bool, _ hasCancellations: Bool) throws {
        guard let process else { return }
        tell(hasReady: hasReady, hasCancellations: hasCancellations, process)
    }

    /// What `waitUntilReady` does each time that it looks.
    func lookForReady(_ number: Int) throws {
        guard let process, let wait = process.readyWait, wait.number == number else { return }
        let remaining = try process.store.timeUntilReady(excluding: wait.excluding, time: now, database)
        if let remaining, remaining <= .zero {
            put(.answer(life: process.life, .mayBeReady(wait: number)), after: generator.latency(.milliseconds(0.1)))
        } else {
            put(
                .lookForReady(life: process.life, number: number),
                after: min(remaining ?? Self.foreignPoll, Self.foreignPoll) + TimeSpan(nanoseconds: 1000))
        }
    }

    /// What `nextCancellations` does each time that it looks.
    func lookForCancellations() {
        guard let process else { return }
        if process.isWatchingCancellations {
            process.mustWatchAgain = true
        } else {
            process.mustWatchAgain = false
            process.isWatchingCancellations = true
            call(.takeCancellations, process)
        }
    }

    /// Once a second: leases that ran out, deadlines that passed unseen, and the depth for the processor.
    func keepHouse() throws {
        guard let process else { return }
        call(.tick, process)
        let depth = try MessageStore.depth(now: now.wall, database)
        process.machine.observeBacklog(ready: depth.ready, delayed: depth.delayed)
        lookForCancellations()
        put(.keepHouse(life: process.life), after: .seconds(1))
    }
}

extension QueueOperation {
    /// Whether messages may get their results by it.
    var mayFinish: Bool {
        switch self {
        case .lease, .leaseOverdue, .complete, .release, .tick, .cancel: true
        case .extend, .takeCancellations, .enqueue, .redrive, .purge: false
        }
    }

    /// Whether the adversary may let it fail.
    var mayFail: Bool {
        switch self {
        case .lease, .leaseOverdue, .complete, .release, .extend, .enqueue: true
        case .tick, .takeCancellations, .cancel, .redrive, .purge: false
        }
    }
}

extension QueueAnswer {
    /// What is heard if the answer is lost on its way.
    var lost: QueueAnswer? {
        switch self {
        case .taken(_, let isOverdue): .takeFailed(isOverdue: isOverdue)
        case .stored(let lease, _, _): .storeFailed(lease)
        case .extended: .extendFailed
        case .enqueued: .nothing
        default: nil
        }
    }

    /// Whether the adversary may let it arrive twice.
    var mayRepeat: Bool {
        switch self {
        case .stored, .storeFailed, .extended, .enqueued: true
        default: false
        }
    }
}
