public import Basics

extension WaitingRoom {
    /// Says whether any endpoint is up. While none is, `AdmissionConfiguration.noEndpointTimeToLive` applies instead
    /// of the usual time to live, each counted from the change if a request waited before it; together they bound its
    /// wait.
    public mutating func endpointsChanged(anyIsUp: Bool, now: Instant) {
        guard anyIsUp != hasEndpoints else { return }
        hasEndpoints = anyIsUp
        endpointsChanged = now
    }

    /// Takes out and returns the requests whose time to wait is over, in the order in which it ended.
    ///
    /// To be called regularly: flows that have been idle for long are forgotten, and the drain rate is measured, here.
    public mutating func removeExpired(now: Instant) -> [WaitingRequest] {
        observeDrain(now: now)
        var expired: [(end: Instant, request: WaitingRequest)] = []
        while let first = expiries.first, first.key <= now.nanoseconds {
            expired.append((Instant(nanoseconds: first.key), takeOut(first.slot, now: now)))
        }
        for index in bands.indices {
            while let slot = bands[index].countedArrivals.first {
                let end = commonExpiry(since: slots.places[slot].since, timeToLive: bands[index].timeToLive)
                guard end <= now else { break }
                expired.append((end, takeOut(slot, now: now)))
            }
        }
        forgetIdleFlows(now: now)
        return expired.sorted { ($0.end, $0.request.id) < ($1.end, $1.request.id) }.map(\.request)
    }

    /// When the time to live of a band ends; for requests of one band it ends in the order of `since`.
    private func commonExpiry(since: Instant, timeToLive: TimeSpan) -> Instant {
        guard let other = noEndpointTimeToLive else { return since + timeToLive }
        let current = hasEndpoints ? timeToLive : other
        return min(max(since, endpointsChanged) + current, since + timeToLive + other)
    }

    /// When a request ends its wait apart from the others of its band; distant future if it goes with them.
    func individualExpiry(of request: WaitingRequest, at slot: Int) -> Instant {
        let own = request.ownExpiry
        guard request.countsAgainstLimits else { return own }
        let place = slots.places[slot]
        let latest = bands[place.band].timeToLive + (noEndpointTimeToLive ?? .zero)
        // One that was entered later than it arrived, so as to keep the order of arrivals, still goes by its arrival.
        if place.since > request.enqueued { return min(own, request.enqueued + latest) }
        return own < place.since + latest ? own : .distantFuture
    }

    /// What orders a request inside its flow: an instant in nanoseconds, earlier first.
    func orderingKey(of request: WaitingRequest, inBand index: Int) -> Int64 {
        switch bands[index].policy.ordering {
        case .firstCome: return request.enqueued.nanoseconds
        case .earliestDeadline:
            let own = request.ownExpiry
            guard request.countsAgainstLimits else { return own.nanoseconds }
            return min(own, request.enqueued + bands[index].timeToLive).nanoseconds
        case .serviceLevel:
            guard let limit = request.ttftLimit else { return Instant.distantFuture.nanoseconds }
            return (request.enqueued + min(max(limit, .zero), .seconds(1e9))).nanoseconds
        }
    }
}
