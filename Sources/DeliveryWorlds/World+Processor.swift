import Basics
import Delivery

// What `AsyncProcessor` does: tells the machine what has happened, and does what it asks for.
extension World {
    typealias Action = ConsumerStateMachine.Action

    /// Time is looked at this often at least, as the shell does.
    private static let longestSleep = TimeSpan.seconds(1)

    /// Tells the machine, and does what follows.
    func feed(_ name: @autoclosure () -> String, _ event: (inout ConsumerStateMachine, DeliveryTime) -> [Action]) {
        guard let process else { return }
        log.line(now) { name() }
        let actions = event(&process.machine, now)
        for action in actions { perform(action, process) }
        checkHands(process)
        if process.machine.isDone { stopped(process) } else { setAlarm(process) }
    }

    private func setAlarm(_ process: Process) {
        guard mutation != .forgetsTime else { return }
        let wake = process.machine.nextWake(now: now)
        let pause = min(wake.steady - now.steady, wake.wall - now.wall, Self.longestSleep)
        let at = now.steady + max(pause, .zero)
        guard at < process.alarm.at || process.alarm.at <= now.steady else { return }
        process.alarm = (at, process.alarm.number + 1)
        // Sleeps end a little late, or right on time; a sleep of no time is none.
        let isExact = pause > .zero && generator.chance(0.2)
        let lateness =
            isExact ? TimeSpan.zero : pause > .zero ? generator.latency(.milliseconds(0.3)) : .milliseconds(0.001)
        agenda.put(.wake(life: process.life, number: process.alarm.number), at: at + lateness)
    }

    func wake(_ number: Int) {
        guard let process, process.alarm.number == number else { return }
        process.alarm.at = .distantFuture
        feed("tick") { $0.tick(now: $1) }
    }

    private func perform(_ action: Action, _ process: Process) {
        log.line(now) { "  -> \(Self.text(of: action))" }
        switch action {
        case .take(let limit, let excluded):
            log.note(now, 1, Int64(limit), Int64(excluded.count))
            process.readyWait = nil
            call(.lease(limit: limit, excluding: excluded), process)
        case .takeOverdue(let instant, let limit):
            log.note(now, 2, instant.nanoseconds)
            call(.leaseOverdue(before: instant, limit: limit), process)
        case .awaitReady(let excluded):
            log.note(now, 3, Int64(excluded.count))
            process.lastWait += 1
            process.readyWait = (process.lastWait, excluded)
            put(
                .lookForReady(life: process.life, number: process.lastWait),
                after: generator.latency(.milliseconds(0.1)))
        case .offer(let leased): offer(leased, process)
        case .withdraw(let lease):
            log.note(now, 4, lease.sequence)
            process.held[lease]?.withdrawn = now.steady
            guard mutation != .forgetsWithdrawals, let request = process.offers[lease] else { return }
            put(.withdraw(life: process.life, request: request), after: generator.latency(.milliseconds(0.1)))
        case .complete(let lease, let result):
            log.note(now, 5, lease.sequence, Int64(result.statusCode ?? 0))
            process.held[lease]?.isSettling = true
            checkDecision(result, lease, process)
            if mutation == .acknowledgesResultBeforeCommit {
                put(
                    .answer(life: process.life, .stored(lease, tookEffect: true, isResult: true)),
                    after: .milliseconds(0.1))
            }
            call(.complete(lease, mutated(result)), process)
        case .release(let lease, let attempts, let readyAt):
            log.note(now, 6, lease.sequence, readyAt.nanoseconds)
            process.held[lease]?.isSettling = true
            if process.held[lease]?.due == nil {
                process.held[lease]?.due = DueTime(
                    steady: readyAt > now.wall ? now.steady + (readyAt - now.wall) : nil)
            }
            if mutation == .dropsReleases {
                put(
                    .answer(life: process.life, .stored(lease, tookEffect: true, isResult: false)),
                    after: .milliseconds(1))
                return
            }
            let instant = mutation == .ignoresBackoff ? now.wall : readyAt
            call(.release(lease, attempts, readyAt: instant, asked: now.steady, due: process.held[lease]?.due), process)
        case .extend(let leases):
            log.note(now, 7, Int64(leases.count))
            call(.extend(leases), process)
        }
    }

    private func mutated(_ result: InferenceResult) -> InferenceResult {
        guard mutation == .mixesUpAnswers, result.payload != nil, generator.chance(0.05) else { return result }
        var result = result
        result.payload = MessageTruth.answer(to: Array("somebody else's".utf8), status: 200)
        return result
    }

    /// An answer of the queue arrives.
    func hear(_ answer: QueueAnswer) {
        guard let process else { return }
        switch answer {
        case .taken(let messages, let isOverdue):
            noteTaken(messages, isOverdue: isOverdue, process)
            feed("taken \(messages.map(\.lease.sequence)) \(isOverdue ? "overdue" : "")") {
                $0.taken(messages, isOverdue: isOverdue, now: $1)
            }
            checkCancellationsTaken(process)
        case .takeFailed(let isOverdue):
            feed("take failed") { $0.takeFailed(isOverdue: isOverdue, now: $1) }
        case .stored(let lease, let tookEffect, let isResult):
            noteStored(lease, tookEffect: tookEffect, isResult: isResult, process)
            feed("stored \(lease.sequence) \(tookEffect)") { $0.stored(lease, tookEffect: tookEffect, now: $1) }
        case .storeFailed(let lease):
            if process.abortsAt <= now.steady { process.held[lease] = nil }
            feed("store failed \(lease.sequence)") { $0.storeFailed(lease, now: $1) }
        case .extended(let lost):
            noteLost(lost, process)
            feed("extended, lost \(lost.map(\.sequence))") { $0.extended(lost: lost, now: $1) }
        case .extendFailed: feed("extend failed") { $0.extendFailed(now: $1) }
        case .cancellations(let leases):
            process.isWatchingCancellations = false
            if !leases.isEmpty {
                noteCancellations(leases, process)
                feed("cancelled \(leases.map(\.sequence))") { $0.cancelled(leases, now: $1) }
                checkCancellationsTaken(process)
            }
            if process.mustWatchAgain || !leases.isEmpty { lookForCancellations() }
        case .mayBeReady(let wait):
            guard process.readyWait?.number == wait else { return }
            process.readyWait = nil
            feed("may be ready") { $0.mayBeReady(now: $1) }
        case .enqueued(let ticket): producerHears(ticket)
        case .nothing: break
        }
    }

    func hearStarted(_ id: UInt64) {
        guard let process, let lease = process.requests[id]?.leased?.lease, process.offers[lease] == id else { return }
        if process.held[lease] != nil { process.started += 1 }
        feed("started \(lease.sequence)") { $0.started(lease, now: $1) }
    }

    func hearEnded(_ id: UInt64, _ outcome: AttemptOutcome) {
        guard let process, let lease = process.requests.removeValue(forKey: id)?.leased?.lease else { return }
        process.offers[lease] = nil
        process.held[lease]?.withdrawn = nil
        process.held[lease]?.isOffered = false
        noteEnded(lease, request: id, outcome, process)
        feed("ended \(lease.sequence) \(Self.text(of: outcome))") { $0.ended(lease, outcome, now: $1) }
    }

    /// The machine is done with a stop: the process closes its queue, which writes what has been handed in, and ends.
    private func stopped(_ process: Process) {
        checkStopped(process)
        log.line(now) { "life \(process.life) has ended in peace" }
        do { try commit() } catch { violate(.nothingLost, "the last commit failed: \(error)") }
        endLife(process)
    }

    static func text(of outcome: AttemptOutcome) -> String {
        switch outcome {
        case .answered(let response):
            "status \(response.statusCode) \(response.dropReason ?? "") "
                + (response.retryAfter.map { "retry after \($0.seconds) s" } ?? "")
        case .failed(let failure, _): failure.rawValue
        case .rejected(let refusal, _, let retryAfter): "rejected: \(refusal) \(retryAfter?.seconds ?? 0)"
        case .evicted: "evicted"
        case .dropped(let reason): "dropped: \(reason)"
        case .withdrawn: "withdrawn"
        }
    }

    private static func text(of action: Action) -> String {
        switch action {
        case .take(let limit, let excluded): "take \(limit) excluding \(excluded.sorted())"
        case .takeOverdue(_, let limit): "take overdue \(limit)"
        case .awaitReady(let excluded): "await ready excluding \(excluded.sorted())"
        case .offer(let leased): "offer \(leased.lease.sequence) for \(leased.message.target)"
        case .withdraw(let lease): "withdraw \(lease.sequence)"
        case .complete(let lease, let result):
            "complete \(lease.sequence) \(result.statusCode ?? 0) \(result.errorCode?.rawValue ?? "")"
        case .release(let lease, _, let readyAt): "release \(lease.sequence) until wall \(readyAt.seconds)"
        case .extend(let leases): "extend \(leases.map(\.sequence))"
        }
    }
}
