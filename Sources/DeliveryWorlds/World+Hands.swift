import Basics
import Delivery

// What the checker notes of what is in the processor's hands, and what has to hold of it.
extension World {
    /// More offers of one message in a second than this are a circle.
    private static let offerLimit = 60
    /// Expired messages may be in hand beyond the bound for the rest: two calls' worth.
    private static let overdueLimit = 512

    func noteTaken(_ messages: [LeasedMessage], isOverdue: Bool, _ process: Process) {
        for leased in messages {
            process.held[leased.lease] = Process.HeldMessage(leased: leased)
            if process.toldEarly.remove(leased.lease) != nil { process.held[leased.lease]?.cancelled = now.steady }
            if isOverdue { process.overdue.insert(leased.lease) }
        }
        process.taken += messages.count
    }

    func noteStored(_ lease: Lease, tookEffect: Bool, isResult: Bool, _ process: Process) {
        guard process.held[lease] != nil else { return }
        process.held[lease] = nil
        process.overdue.remove(lease)
        guard tookEffect else { return }
        let truth = truths[lease.sequence]
        if isResult ? truth?.record == nil : truth?.holder?.token == lease.token {
            violate(.acknowledged, "\(lease.sequence) is said to be stored, and is not")
        }
    }

    func noteLost(_ leases: [Lease], _ process: Process) {
        for lease in leases {
            guard let message = process.held[lease], !message.isOffered, !message.isSettling else { continue }
            process.held[lease] = nil
            process.overdue.remove(lease)
        }
    }

    func noteCancellations(_ leases: [Lease], _ process: Process) {
        for lease in leases {
            guard var message = process.held[lease] else {
                process.toldEarly.insert(lease)
                continue
            }
            message.cancelled = message.cancelled ?? now.steady
            process.held[lease] = message
        }
    }

    /// What the processor was told to take back it has taken back, or given up, in the same moment.
    func checkCancellationsTaken(_ process: Process) {
        for (lease, message) in process.held.sorted(by: { $0.key.sequence < $1.key.sequence })
        where message.cancelled == now.steady && !message.isSettling && message.withdrawn == nil {
            violate(.cancellation, "\(lease.sequence) was cancelled, and goes on")
        }
    }

    func checkOffer(_ leased: LeasedMessage, _ process: Process) {
        let lease = leased.lease
        let sequence = lease.sequence
        process.held[lease]?.isOffered = true
        guard let truth = truths[sequence] else { return violate(.oneRecordEach, "\(sequence) is nobody's") }
        if process.held[lease]?.cancelled != nil { violate(.cancellation, "\(sequence) is offered although cancelled") }
        if now.wall >= truth.message.deadline {
            violate(.deadlineBeforeStart, "\(sequence) is offered after its deadline")
        }
        // Whoever has lost the lease does not know what has been decided since.
        if truth.holder?.token == lease.token, let due = truth.due, now.steady < due - .milliseconds(2) {
            violate(.backoff, "\(sequence) is offered \((due - now.steady).seconds) s before its time")
        }
        var offers = truth.offers
        if now.steady - offers.since > .seconds(1) { offers = (0, now.steady) }
        offers.count += 1
        truths[sequence]?.offers = offers
        if offers.count > Self.offerLimit { violate(.noSpinning, "\(sequence) is offered again and again") }
        if process.isStopping { violate(.bounds, "\(sequence) is offered after the stop") }
        let target = leased.message.target
        guard process.machine.failingTargets.contains(target) else { return }
        process.probes[target, default: []].insert(lease)
        let probes = process.probes[target]?.count ?? 0
        if probes > 1 { violate(.oneProbe, "\(probes) requests probe \(target)") }
    }

    func noteEnded(_ lease: Lease, request: UInt64, _ outcome: AttemptOutcome, _ process: Process) {
        log.note(now, 34, lease.sequence)
        progressed = now.steady
        if let target = process.held[lease]?.leased.message.target { process.probes[target]?.remove(lease) }
        let index = truths[lease.sequence]?.executions.lastIndex { $0.request == request }
        guard let index else { return }
        truths[lease.sequence]?.executions[index].outcome = outcome
        if let started = truths[lease.sequence]?.executions[index].started {
            longestRun = max(longestRun, now.steady - started)
        }
    }

    /// An endpoint is given a message.
    func checkStart(_ leased: LeasedMessage, request: UInt64, _ process: Process) {
        let lease = leased.lease
        guard let truth = truths[lease.sequence] else { return }
        counts.executions += 1
        progressed = now.steady
        log.line(now) { "start of \(lease.sequence)" }
        checkPrecedence(process)
        // A step of the clock, and a process that stood still, are noticed within a second.
        let isExcused = max(lastClockStep, process.frozenUntil) > now.steady - .seconds(2)
        if !isExcused, now.wall > truth.message.deadline + .milliseconds(60) {
            violate(
                .deadlineBeforeStart,
                "\(lease.sequence) starts \((now.wall - truth.message.deadline).seconds) s after its deadline")
        }
        if let cancelled = process.held[lease]?.cancelled, now.steady > cancelled + .milliseconds(20), !isExcused {
            violate(.cancellation, "\(lease.sequence) starts although it is cancelled")
        }
        checkReason(lease, truth, process)
        truths[lease.sequence]?.executions.append(
            MessageTruth.Execution(
                life: process.life, request: request, lease: lease, started: now.steady, outcome: nil))
    }

    /// An execution beyond the first has a reason: a crash, a lease that was lost, an eviction, a retry.
    private func checkReason(_ lease: Lease, _ truth: MessageTruth, _ process: Process) {
        if truth.holder?.token != lease.token { counts.staleExecutions += 1 }
        guard let last = truth.executions.last else {
            if truth.record != nil, truth.holder?.token == lease.token {
                violate(.executions, "\(lease.sequence) starts after its end")
            }
            return
        }
        counts.reexecutions += 1
        if last.lease != lease || last.life != process.life { return checkNewLease(lease, last, truth, process) }
        switch last.outcome {
        case nil: violate(.executions, "\(lease.sequence) runs twice under one lease")
        case .evicted?: break
        case .rejected(.capacity, _, _)?: break
        case .answered(let response)?
        where AnswerVerdict(statusCode: response.statusCode, dropReason: response.dropReason) == .capacity:
            break
        case let outcome?:
            violate(.executions, "\(lease.sequence) runs again under one lease after \(Self.text(of: outcome))")
        }
    }

    private func checkNewLease(
        _ lease: Lease, _ last: MessageTruth.Execution, _ truth: MessageTruth, _ process: Process
    ) {
        // Under another lease: the last one was lost or given back, or its holder is dead.
        guard last.life == process.life, case .answered(let response)? = last.outcome,
            AnswerVerdict(statusCode: response.statusCode, dropReason: response.dropReason) == .final
        else { return }
        if truth.released.contains(last.lease.token) {
            violate(.executions, "\(lease.sequence) was given back with a final answer")
        }
    }

    /// What is in hand is within its bounds.
    func checkHands(_ process: Process) {
        let counters = process.machine.counters
        if !process.probes.isEmpty {
            let failing = process.machine.failingTargets
            process.probes = process.probes.filter { failing.contains($0.key) }
        }
        if let limit = profile.consumer.maximumInFlight, counters.offered + counters.inFlight > limit {
            violate(.bounds, "\(counters.offered + counters.inFlight) requests are out, of \(limit)")
        }
        if counters.held > profile.consumer.maximumHeld + min(process.overdue.count, Self.overdueLimit) {
            violate(.bounds, "\(counters.held) are in hand, of \(profile.consumer.maximumHeld)")
        }
        if counters.offered < 0 || counters.inFlight < 0 { violate(.counters, "fewer than none are out") }
        if counters.offered + counters.inFlight != process.offers.count {
            violate(.counters, "\(process.offers.count) are out, counted as \(counters.offered + counters.inFlight)")
        }
    }

    /// What a decision is based on.
    func checkDecision(_ result: InferenceResult, _ lease: Lease, _ process: Process) {
        guard result.isDeadLetter, let truth = truths[lease.sequence] else { return }
        let isTooLong = truth.executions.contains { $0.outcome == .failed(.answerTooLong, endpoint: nil) }
        guard !isTooLong else { return }
        guard let limit = profile.consumer.retries.maximumFailures, result.attempts.failures >= limit else {
            return violate(.recordIsTrue, "\(lease.sequence) was given up after \(result.attempts.failures) failures")
        }
    }

    /// Once a second: what must not last.
    func checkPatience() {
        guard let process, process.frozenUntil <= now.steady else { return }
        for (lease, message) in process.held.sorted(by: { $0.key.sequence < $1.key.sequence }) {
            guard let withdrawn = message.withdrawn else { continue }
            if now.steady - max(withdrawn, process.frozenUntil) > .seconds(2) {
                violate(.cancellation, "\(lease.sequence) was to be taken back, and is not")
            }
        }
        let patience = profile.consumer.leaseDuration + .seconds(8)
        for sequence in unfinished.sorted() {
            guard let truth = truths[sequence], now.wall > truth.message.deadline else { continue }
            let passed = truth.deadlinePassed ?? now.steady
            truths[sequence]?.deadlinePassed = passed
            if now.steady - max(passed, disturbed) > patience {
                violate(.reportedSoon, "\(sequence) has no end long after its deadline")
            }
            if let cancelled = truth.cancelCommitted, now.steady - max(cancelled, disturbed) > patience {
                violate(.cancellation, "\(sequence) has no end long after it was cancelled")
            }
        }
    }

    /// After a stop everything is accounted for.
    func checkStopped(_ process: Process) {
        let counters = process.machine.counters
        if counters.held != 0 || counters.offered != 0 || counters.inFlight != 0 {
            violate(.counters, "a stopped processor holds \(counters)")
        }
        if counters.leased != process.taken { violate(.counters, "\(counters.leased) taken, of \(process.taken)") }
        if counters.dispatched != process.started {
            violate(.counters, "\(counters.dispatched) dispatched, of \(process.started)")
        }
        let left =
            counters.succeeded + counters.failed + counters.expired + counters.cancelled + counters.retries
            + counters.handedBack + counters.lostLeases
        if process.abortsAt > now.steady, left != counters.leased {
            violate(.counters, "\(counters.leased) were taken and \(left) accounted for: \(counters)")
        }
        let messages = process.requests.values.filter { !$0.isRealtime && $0.phase != .over }
        if !messages.isEmpty { violate(.noLeak, "\(messages.count) requests of a stopped processor go on") }
    }

    /// When the world is over.
    func checkEnd() {
        for (sequence, truth) in truths.sorted(by: { $0.key < $1.key }) where truth.record == nil {
            violate(.nothingLost, "\(sequence) (\(truth.message.id)) has no record")
        }
        for ticket in producers.tickets where ticket.receipts == nil {
            violate(.nothingLost, "\(ticket.messages.map(\.id)) were acknowledged, and are nowhere")
        }
        do {
            for (table, expected) in [
                ("message", 0), ("payload", keptDead.values.reduce(0) { $0 + $1.count }),
                ("dead", keptDead.values.reduce(0) { $0 + $1.count }),
                ("result", keptResults.values.reduce(0) { $0 + $1.count }),
            ] {
                let count = try countRows(of: table)
                if count != expected { violate(.nothingLost, "\(count) rows in \(table), not \(expected)") }
            }
        } catch {
            violate(.nothingLost, "\(error)")
        }
    }
}
