import Basics
import DequeModule

// What a consumer does of itself, after each event.
extension ConsumerStateMachine {
    /// Does everything that has become possible or due.
    mutating func advance(_ actions: [Action], now: DeliveryTime) -> [Action] {
        var actions = actions
        if phase == .draining, let graceEnd, now.steady >= graceEnd { actions += abortOnce(now: now) }
        lookAtDeadlines(now: now, &actions)
        lookAtTimers(now: now, &actions)
        if phase == .running {
            offerWaiting(now: now, &actions)
            makeRoom(now: now, &actions)
            takeMore(now: now, &actions)
            lookForOverdue(now: now, &actions)
        }
        extendLeases(now: now, &actions)
        return actions
    }

    private mutating func abortOnce(now: DeliveryTime) -> [Action] {
        graceEnd = nil
        return abort(now: now)
    }

    /// Offers what waits in hand for as long as its target and the bounds admit.
    private mutating func offerWaiting(now: DeliveryTime, _ actions: inout [Action]) {
        guard targets.values.contains(where: { !$0.waiting.isEmpty }) else { return }
        var outstanding = targets.values.reduce(0) { $0 + $1.outstanding }
        let limit = configuration.maximumInFlight ?? .max
        while outstanding < limit, let name = nextToOffer(now: now), let lease = targets[name]?.takeNext(),
            var entry = entries[lease]
        {
            let serviceTime = serviceTime(of: entry, now: now.wall)
            switch entry.machine.begin(serviceTime: serviceTime, now: now.wall) {
            case .complete(let result):
                entries[lease] = entry
                actions += settle(lease, .complete(result), now: now)
            case .offer:
                entry.stage = .offered(at: now.steady)
                entries[lease] = entry
                outstanding += 1
                targets[name]?.offer(now: now.steady)
                actions.append(.offer(entry.machine.leased))
            }
        }
    }

    /// The target whose first message in hand is to be offered before those of the others.
    private func nextToOffer(now: DeliveryTime) -> String? {
        var best: (name: String, order: UInt64)?
        for (name, target) in targets {
            guard let lease = target.waiting.first, let order = entries[lease]?.order, order < best?.order ?? .max,
                target.admits(now: now.steady)
            else { continue }
            best = (name, order)
        }
        return best?.name
    }

    /// Gives back what would be in the way of messages for other targets: all that waits for a target that is left alone, and,
    /// once the hands are full, what waits for one without room beyond its share of them.
    private mutating func makeRoom(now: DeliveryTime, _ actions: inout [Action]) {
        let isFull = entries.count >= configuration.maximumHeld || bytes >= configuration.maximumHeldBytes
        var surplus: [Lease] = []
        for target in targets.values where !target.waiting.isEmpty && !target.admits(now: now.steady) {
            if target.breaker.opensAt != nil {
                surplus += target.waiting
            } else if isFull {
                surplus += target.waiting.dropFirst(shareCount(of: target.waiting))
            }
        }
        for lease in surplus.sorted(by: { $0.sequence < $1.sequence }) {
            if let entry = entries[lease] { unqueue(lease, entry, now: now) }
            actions += settle(lease, .handBack, now: now)
        }
    }

    /// Messages that may be in hand for each target that has something there, with as much left over for another one.
    private var share: Int {
        max(1, configuration.maximumHeld / (targets.values.count { !$0.isIdle } + 1))
    }

    /// How many of these messages a target without room may keep waiting in hand when there is no room for others.
    private func shareCount(of waiting: Deque<Lease>) -> Int {
        let count = min(waiting.count, share)
        guard bytes >= configuration.maximumHeldBytes else { return count }
        var left = configuration.maximumHeldBytes / (targets.values.count { !$0.isIdle } + 1)
        let fitting = waiting.prefix(count).prefix { lease in
            left -= entries[lease]?.machine.message.payload.count ?? 0
            return left >= 0
        }
        return max(1, fitting.count)
    }

    private mutating func takeMore(now: DeliveryTime, _ actions: inout [Action]) {
        guard taking.isPossible(now: now.steady), bytes < configuration.maximumHeldBytes else { return }
        var limit = min(configuration.lookahead, configuration.maximumHeld - entries.count)
        var spare = configuration.maximumInFlight ?? .max
        // Of which target the next messages are is not known before they come: each may be the one with the least room. What
        // has half of its room left or less is left out, so that it is filled up in large bites.
        var excluded: Set<String> = []
        let share = share
        for (name, target) in targets {
            let admits = target.admits(now: now.steady)
            spare -= target.outstanding + (admits ? target.waiting.count : 0)
            let room = target.isSound ? configuration.lookahead : min(configuration.lookahead, share)
            if !admits || !target.waiting.isEmpty || target.notStarted > room / 2 {
                excluded.insert(name)
            } else {
                limit = min(limit, room - target.notStarted)
            }
        }
        limit = min(limit, spare)
        guard limit > 0 else { return }
        if let action = taking.next(limit: limit, excluding: excluded) { actions.append(action) }
    }

    /// Messages whose deadline passes while nothing of their kind is taken are ended all the same.
    private mutating func lookForOverdue(now: DeliveryTime, _ actions: inout [Action]) {
        guard entries.count < configuration.maximumHeld + Taking.overdueLimit else { return }
        // With less than the fastest answer of the fastest target left there is no hope for anything.
        let margin = targets.values.map(\.serviceTimes.fastest).filter { $0 > .zero }.min() ?? .zero
        if let action = taking.nextOverdue(before: now.wall + margin, now: now.steady) { actions.append(action) }
    }

    private mutating func extendLeases(now: DeliveryTime, _ actions: inout [Action]) {
        guard now.steady >= nextBeat, !isExtending else { return }
        nextBeat = now.steady + configuration.leaseDuration * (1.0 / 3)
        guard !entries.isEmpty else { return }
        isExtending = true
        actions.append(.extend(sortedEntries.map(\.key)))
    }

    // MARK: Deadlines and timers

    /// What the message would take, if that may be more than it has; zero if there is time enough.
    private func serviceTime(of entry: Entry, now: Instant) -> TimeSpan {
        let message = entry.machine.message
        guard let times = targets[message.target]?.serviceTimes, message.deadline - now <= times.longest else {
            return .zero
        }
        return times.median(limit: entry.machine.outputTokenLimit)
    }

    /// Sees to it that the message is looked at when its deadline comes near: `span` before it, or, if it has not started and
    /// nothing better is known, before the longest time that its target took of late.
    /// Not before `earliest`, at which time has gone on.
    mutating func lookAtDeadline(
        of lease: Lease, before span: TimeSpan = .zero, after earliest: Instant = .zero, now: DeliveryTime
    ) {
        guard let entry = entries[lease] else { return }
        let message = entry.machine.message
        var span = span
        if case .started = entry.stage {
        } else if span == .zero, let longest = targets[message.target]?.serviceTimes.longest {
            span = longest
        }
        deadlines.set(lease, at: max(message.deadline - span, earliest))
    }

    private mutating func lookAtDeadlines(now: DeliveryTime, _ actions: inout [Action]) {
        while let lease = deadlines.popDue(now: now.wall) {
            guard var entry = entries[lease] else { continue }
            let isStarted = if case .started = entry.stage { true } else { false }
            let serviceTime = isStarted ? .zero : serviceTime(of: entry, now: now.wall)
            guard entry.machine.isHopeless(serviceTime: serviceTime, now: now.wall) else {
                // With exactly as much time left as it takes there is hope, for a moment.
                lookAtDeadline(of: lease, before: serviceTime, after: now.wall + .milliseconds(1), now: now)
                continue
            }
            switch entry.stage {
            case .waiting:
                guard case .complete(let result) = entry.machine.begin(serviceTime: serviceTime, now: now.wall) else {
                    continue
                }
                unqueue(lease, entry, now: now)
                entries[lease] = entry
                actions += settle(lease, .complete(result), now: now)
            case .offered, .started: actions += withdraw(lease, .deadlinePassed)
            case .settling: break
            }
        }
    }

    private mutating func lookAtTimers(now: DeliveryTime, _ actions: inout [Action]) {
        while let lease = timers.popDue(now: now.steady) {
            guard let entry = entries[lease] else { continue }
            switch entry.stage {
            case .started: actions += withdraw(lease, .attemptTimedOut)
            case .settling:
                if let settlement = entry.settlement { actions.append(write(settlement, lease, entry, now: now)) }
            case .waiting, .offered: break
            }
        }
    }
}
