import Basics
import DequeModule
import DispatchGates

// Gives free workers to those who are to go next.
extension WorkerPoolStateMachine {
    /// Does all that has become possible.
    mutating func pump(now: Instant) -> [Action] {
        var actions: [Action] = []
        noteRests(now: now)
        if configuration.merge == .tierPriority { classify(now: now, &actions) }
        serve(now: now, &actions)
        collectReturns(now: now, &actions)
        noteClosedGates(now: now)
        return actions
    }

    /// Counts each time a gate is found closed while somebody waits for it.
    private mutating func noteClosedGates(now: Instant) {
        let isPoolClosed = gate != nil && !waiting.isEmpty && share(gate, now: now) == 0
        if isPoolClosed, !self.isPoolClosed { poolDecisions.closed += 1 }
        self.isPoolClosed = isPoolClosed
        for name in names {
            guard var queue = queues[name], queue.gate != nil else { continue }
            let isClosed = !queue.line.places.isEmpty && share(queue.gate, now: now) == 0
            if isClosed == queue.isClosed { continue }
            if isClosed { queue.decisions.closed += 1 }
            queue.isClosed = isClosed
            queues[name] = queue
        }
    }

    /// The lane of a request depends on what the gate of its queue says, so that comes first: for all that wait while the gate
    /// is wide open, and for no more than its share of the workers otherwise.
    private mutating func classify(now: Instant, _ actions: inout [Action]) {
        for name in names {
            let share = share(queues[name]?.gate, now: now)
            let room = share < workers ? share : .max
            for place in queues[name]?.line.places ?? [] {
                guard let queue = queues[name], queue.used + queue.asking < room else { break }
                guard let entry = waiting[place.id], entry.stage == .waiting, !entry.isAdmitted else { continue }
                guard !isAtRest(entry, now: now) else { continue }
                _ = passQueue(place.id, now: now, &actions)
            }
        }
    }

    private mutating func serve(now: Instant, _ actions: inout [Action]) {
        let limit = limit(now: now)
        var kept = asking.values.count { $0 > now }
        let limitForCleared = cleared > 0 ? limitForCleared(now: now) : limit
        let largest = max(limit, limitForCleared)
        guard running.count + kept < largest else { return }
        // A snapshot: what is decided about one request changes the lines, but not who is still to be looked at.
        var lines = names.compactMap { name -> LineView? in
            guard let queue = queues[name], !queue.line.places.isEmpty else { return nil }
            return LineView(name: name, places: queue.line.places, room: share(queue.gate, now: now))
        }
        var old = oldRequests(now: now)
        while running.count + kept < largest, let id = next(among: &lines, old: &old) {
            guard let entry = waiting[id], entry.stage == .waiting, !isAtRest(entry, now: now) else { continue }
            guard running.count + kept < (entry.isCleared ? limitForCleared : limit) else { continue }
            guard entry.isAdmitted || hasRoom(entry.subject.queue, lines) else { continue }
            guard hasCredit(for: entry.subject.model, beside: kept) else { continue }
            if passQueue(id, now: now, &actions), passPool(id, now: now, &actions) {
                start(id, now: now, &actions)
                if configuration.ageing != nil { oldGoesNext.toggle() }
            } else if let keptUntil = asking[id], keptUntil > now {
                kept += 1
            }
        }
    }

    private struct LineView {
        let name: String
        let places: [(key: LineKey, id: UInt64)]
        /// Requests that may be past the gate of the queue at a time.
        let room: Int
        var index = 0

        var head: (key: LineKey, id: UInt64)? { index < places.count ? places[index] : nil }
    }

    private func hasRoom(_ name: String, _ lines: [LineView]) -> Bool {
        guard let queue = queues[name], let line = lines.first(where: { $0.name == name }) else { return false }
        return queue.used + queue.asking < line.room
    }

    /// The request that is to be looked at next; each is looked at once, or twice if it is old.
    private mutating func next(among lines: inout [LineView], old: inout [UInt64]) -> UInt64? {
        if oldGoesNext, let id = old.popLast() { return id }
        // A queue that has used its room up has nobody to look at; those already past its gate may go all the same.
        switch configuration.merge {
        case .deadline, .tierPriority:
            var best: Int?
            for index in lines.indices {
                guard let head = lines[index].head else { continue }
                if let found = best, let former = lines[found].head, former.key < head.key { continue }
                best = index
            }
            guard let best else { return old.popLast() }
            defer { lines[best].index += 1 }
            return lines[best].head?.id
        case .randomRobin:
            lines.removeAll { $0.head == nil }
            guard !lines.isEmpty else { return old.popLast() }
            let index = min(Int(generator.unit() * Double(lines.count)), lines.count - 1)
            defer { lines[index].index += 1 }
            return lines[index].head?.id
        }
    }

    /// Those who have waited too long, the oldest last.
    private mutating func oldRequests(now: Instant) -> [UInt64] {
        guard let ageing = configuration.ageing else { return [] }
        // Those who have gone are dropped now and then, so that the line never holds many more than wait.
        if arrivals.count > 2 * waiting.count + 64 { arrivals.removeAll { waiting[$0] == nil } }
        while let first = arrivals.first, waiting[first] == nil { arrivals.removeFirst() }
        var old: [UInt64] = []
        for id in arrivals {
            guard let entry = waiting[id] else { continue }
            guard now - entry.offeredAt >= ageing, old.count < workers else { break }
            old.append(id)
        }
        return old.reversed()
    }

    private mutating func collectReturns(now: Instant, _ actions: inout [Action]) {
        var returns = gate?.takeReturns() ?? []
        for name in names { returns += queues[name]?.gate?.takeReturns() ?? [] }
        guard !returns.isEmpty else { return }
        for quota in returns { quotas.noteReturn(quota) }
        actions.append(.giveBack(returns))
    }
}
