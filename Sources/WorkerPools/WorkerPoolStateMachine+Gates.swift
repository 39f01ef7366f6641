import Basics
import DispatchGates

// What gates say about requests, and what becomes of these.
extension WorkerPoolStateMachine {
    /// What a budget means in workers.
    func share(_ gate: DispatchGate?, now: Instant) -> Int {
        gate.map { share(budget: $0.budget(now: now)) } ?? workers
    }

    private func share(budget: Double) -> Int { Int((Double(workers) * min(max(budget, 0), 1)).rounded(.up)) }

    /// Workers that may be busy with requests that the gate of the pool has let pass, or is about to: what these have filled
    /// themselves is not closed to them.
    func limitForCleared(now: Instant) -> Int {
        min(gate.map { share(budget: $0.measuredBudget(now: now)) } ?? workers, totalCredit ?? .max)
    }

    /// The workers that there are.
    var workers: Int { configuration.isElastic ? totalCredit ?? configuration.workers : configuration.workers }

    var totalCredit: Int? { credits?.reduce(0) { $0 + $1.requests } }

    /// Whether the gateway has room for one more request for this model. One that it does not name is its business.
    ///
    /// - Parameter kept: workers that are kept for requests whose quotas are asked for, whatever their models.
    func hasCredit(for model: String?, beside kept: Int = 0) -> Bool {
        guard let credits, credits.count > 1, let model,
            let credit = credits.first(where: { $0.models.contains(model) })
        else { return true }
        let used = running.values.count { $0.model.map(credit.models.contains) ?? false }
        return used + kept < credit.requests
    }

    func rank(of subject: GateSubject) -> Int {
        configuration.merge == .tierPriority
            ? PriorityLane(labels: subject.labels, tierLabel: configuration.tierLabel).rank : -subject.priority
    }

    /// Goes on behind a quota.
    ///
    /// - Parameter isPaced: whether the quota itself is not asked for again at once, so that the request needs no rest.
    mutating func answered(
        _ id: UInt64, _ quota: QuotaRequest, isPaced: Bool, now: Instant, _ body: (inout DispatchGate) -> GateVerdict
    ) -> [Action] {
        guard let entry = waiting[id], entry.quota == quota else {
            // It went away meanwhile; what was granted is among what the gate returns.
            if let place = abandoned.removeValue(forKey: id) { _ = tell(place.queue, place.isForQueue, body) }
            return pump(now: now)
        }
        let isForQueue = entry.stage == .askingForQueue
        waiting[id]?.quota = nil
        waiting[id]?.stage = .waiting
        noteAnswer(id, entry)
        var actions: [Action] = []
        let verdict = tell(entry.subject.queue, isForQueue, body)
        if !judge(verdict, id, isForQueue: isForQueue, now: now, &actions), !isPaced { rest(id, now: now) }
        // Who is through has its turn like the others: there may be somebody more urgent by now.
        return actions + pump(now: now)
    }

    private mutating func noteAnswer(_ id: UInt64, _ entry: WaitingRequest) {
        asking[id] = nil
        if entry.stage == .askingForQueue { queues[entry.subject.queue]?.asking -= 1 }
    }

    /// A request that has asked for a quota and may not go all the same does not ask again at once: gates behind the quota
    /// may be closed for long.
    private mutating func rest(_ id: UInt64, now: Instant) {
        guard var entry = waiting[id], entry.stage == .waiting else { return }
        let pause = QuotaMemory.pause(after: entry.rest)
        let end = now + QuotaMemory.spread(pause, generator.unit())
        entry.rest = pause
        entry.restsUntil = end
        waiting[id] = entry
        restEnds = min(restEnds ?? end, end)
    }

    /// Whether the gates are to be asked about a request at present.
    func isAtRest(_ entry: WaitingRequest, now: Instant) -> Bool { entry.restsUntil.map { $0 > now } ?? false }

    /// What has ended may have made room for one: in each line the first that rests may try.
    mutating func wakeFirstAtRest() {
        guard restEnds != nil else { return }
        for name in names {
            let first = queues[name]?.line.places.first { waiting[$0.id]?.restsUntil != nil }
            if let first { waiting[first.id]?.restsUntil = nil }
        }
    }

    /// Finds out when the next rest ends, once the one that was next is over.
    mutating func noteRests(now: Instant) {
        guard let end = restEnds, end <= now else { return }
        restEnds = waiting.values.lazy.compactMap(\.restsUntil).filter { $0 > now }.min()
    }

    /// Whether one more question may be asked: a question for each worker that is free or, where lanes depend on answers, for
    /// each worker of the pool.
    private func mayAsk(_ queue: String, isForQueue: Bool, now: Instant) -> Bool {
        if isForQueue, configuration.merge == .tierPriority {
            return queues[queue]?.asking ?? 0 < max(workers, 1)
        }
        let aboutLanes = configuration.merge == .tierPriority ? queues.values.reduce(0) { $0 + $1.asking } : 0
        return asking.count - aboutLanes + cleared < limitForCleared(now: now) - running.count
    }

    mutating func count(isForQueue: Bool, _ queue: String, _ body: (inout GateDecisions) -> Void) {
        if isForQueue, queues[queue] != nil {
            body(&queues[queue, default: Queue(labels: [:])].decisions)
        } else {
            body(&poolDecisions)
        }
    }

    mutating func tell(
        _ queue: String, _ isForQueue: Bool, _ body: (inout DispatchGate) -> GateVerdict
    ) -> GateVerdict {
        (isForQueue ? queues[queue]?.gate.mutate(body) : gate.mutate(body)) ?? .proceed(labels: [:])
    }

    /// Passes the gate of the request's queue; says whether it is through.
    mutating func passQueue(_ id: UInt64, now: Instant, _ actions: inout [Action]) -> Bool {
        guard let entry = waiting[id] else { return false }
        if entry.isAdmitted { return true }
        let subject = entry.subject
        let verdict =
            queues[subject.queue]?.gate.mutate { $0.apply(subject, now: now) } ?? .proceed(labels: [:])
        return judge(verdict, id, isForQueue: true, now: now, &actions)
    }

    /// Passes the gate of the pool; says whether the request is through.
    mutating func passPool(_ id: UInt64, now: Instant, _ actions: inout [Action]) -> Bool {
        guard let entry = waiting[id] else { return false }
        if entry.isCleared { return true }
        let verdict = gate.mutate { $0.apply(entry.subject, now: now) } ?? .proceed(labels: [:])
        return judge(verdict, id, isForQueue: false, now: now, &actions)
    }

    /// Does what a gate says; true if the request may go on.
    private mutating func judge(
        _ verdict: GateVerdict, _ id: UInt64, isForQueue: Bool, now: Instant, _ actions: inout [Action]
    ) -> Bool {
        guard var entry = waiting[id] else { return false }
        let name = entry.subject.queue
        switch verdict {
        case .proceed(let labels):
            entry.subject.labels.merge(labels) { $1 }
            (entry.restsUntil, entry.rest) = (nil, nil)
            if !isForQueue {
                entry.isCleared = true
                cleared += 1
            } else {
                entry.isAdmitted = true
                queues[name]?.used += 1
                let rank = rank(of: entry.subject)
                if rank != entry.key.rank {
                    queues[name]?.line.remove(entry.key)
                    entry.key.rank = rank
                    queues[name]?.line.insert(id, entry.key)
                }
            }
            waiting[id] = entry
            return true
        case .acquire(let quota):
            return ask(quota, id, isForQueue: isForQueue, now: now, &actions)
        case .wait: return false
        case .refuse(let reason):
            if !entry.isRefused {
                waiting[id]?.isRefused = true
                queues[name]?.refused += 1
            }
            if queues[name]?.refused ?? 0 > configuration.refusedLimit {
                leave(id)
                actions.append(.postpone(id, reason: reason, pause: configuration.refusalPause))
            }
            return false
        case .drop(let reason):
            count(isForQueue: isForQueue, name) { $0.dropped += 1 }
            leave(id)
            actions.append(.drop(id, reason: reason))
            return false
        }
    }

    /// Asks for a quota, unless it is known what would come of that, or too many questions are open.
    private mutating func ask(
        _ quota: QuotaRequest, _ id: UInt64, isForQueue: Bool, now: Instant, _ actions: inout [Action]
    ) -> Bool {
        guard var entry = waiting[id] else { return false }
        let name = entry.subject.queue
        let finding = quotas.finding(of: quota, now: now)
        let blocks = (isForQueue ? queues[name]?.gate : gate)?.refusalBlocks(id) ?? false
        if finding == .exhausted, blocks {
            let next = tell(name, isForQueue) { $0.resume(id, granted: false, now: now) }
            return judge(next, id, isForQueue: isForQueue, now: now, &actions)
        }
        // What became of a request must not be made up from a question that failed, or was not asked.
        if finding == .unreachable {
            // Looked at again when the quota may be asked for, not with every event until then.
            waiting[id]?.restsUntil = quotas.end(of: quota)
        }
        if finding == .unreachable || !mayAsk(name, isForQueue: isForQueue, now: now) {
            let next = tell(name, isForQueue) { $0.unasked(id, now: now) }
            return judge(next, id, isForQueue: isForQueue, now: now, &actions)
        }
        entry.stage = isForQueue ? .askingForQueue : .askingForPool
        entry.quota = quota
        // A question about a lane is not asked for a worker, so none is kept.
        let isAboutLane = isForQueue && configuration.merge == .tierPriority
        asking[id] = isAboutLane ? now : now + Self.patience
        if isForQueue { queues[name]?.asking += 1 }
        waiting[id] = entry
        actions.append(.acquire(id, quota))
        return false
    }

    mutating func start(_ id: UInt64, now: Instant, _ actions: inout [Action]) {
        guard let entry = waiting.removeValue(forKey: id) else { return }
        let name = entry.subject.queue
        queues[name]?.line.remove(entry.key)
        if entry.isRefused { queues[name]?.refused -= 1 }
        if entry.isCleared { cleared -= 1 }
        running[id] = Running(queue: name, model: entry.subject.model, startedAt: now)
        actions.append(.start(id, labels: entry.subject.labels))
    }

    /// Takes a request out of its line without starting it.
    mutating func leave(_ id: UInt64) {
        guard let entry = waiting.removeValue(forKey: id) else { return }
        let name = entry.subject.queue
        queues[name]?.line.remove(entry.key)
        if entry.isRefused { queues[name]?.refused -= 1 }
        if entry.isAdmitted { queues[name]?.used -= 1 }
        if entry.isCleared { cleared -= 1 }
        if entry.stage != .waiting {
            noteAnswer(id, entry)
            abandoned[id] = (name, entry.stage == .askingForQueue)
        }
        gate?.withdraw(id)
        queues[name]?.gate?.withdraw(id)
    }
}
