public import Basics

extension WaitingRoom {
    /// The number waiting in each band in which somebody does, highest priority first.
    public var depths: [(priority: Int, requests: Int, bytes: Int)] {
        order.compactMap { priority, index in
            let waiting = bands[index].waiting
            return waiting.requests > 0 ? (priority, waiting.requests, waiting.bytes) : nil
        }
    }

    /// What waits in every band that is known, empty ones included, highest priority first.
    public func bandSnapshots(now: Instant) -> [BandSnapshot] {
        order.map { priority, index in
            let band = bands[index]
            let shares = band.flows.compactMap { flow in
                flow.servedPerSecond(now: now).map { $0 / (configuration.flowWeights[flow.name] ?? 1) }
            }
            return BandSnapshot(
                priority: priority, requests: band.waiting.requests, bytes: band.waiting.bytes,
                tokens: band.waiting.tokens, flows: band.flows.count { $0.waiting.requests > 0 },
                oldestWait: band.oldest(in: slots).map { max(.zero, now - $0.since) } ?? .zero,
                jainIndex: jainIndex(of: shares))
        }
    }

    /// The `limit` flows that have got most.
    public func flowSnapshots(limit: Int) -> [FlowSnapshot] {
        let all = order.flatMap { priority, index in
            let band = bands[index]
            return band.knownFlows.map { flow in
                FlowSnapshot(
                    flow: band.flows[flow].name, priority: priority, isOverflow: band.isOverflow(flow),
                    requests: band.flows[flow].waiting.requests, servedTokens: band.flows[flow].served)
            }
        }
        let sorted = all.sorted { left, right in
            left.servedTokens != right.servedTokens
                ? left.servedTokens > right.servedTokens : (right.priority, left.flow) < (left.priority, right.flow)
        }
        return Array(sorted.prefix(max(0, limit)))
    }

    /// The tokens that would be dispatched before `request` if it came in now: everything in higher bands, and what
    /// goes before it in its own by the band's fairness and ordering.
    ///
    /// An upper bound where flows take turns. Ageing and minimum shares of lower bands are left out of account.
    public func workAhead(of request: WaitingRequest) -> Int {
        var tokens = 0
        for (priority, index) in order {
            if priority > request.priority { tokens += bands[index].waiting.tokens }
            guard priority == request.priority else { continue }
            let key = orderingKey(of: request, inBand: index)
            tokens += bands[index].tokensAhead(
                of: request.flow, key: key, ownTokens: request.use.total, in: slots)
        }
        return tokens
    }

    /// After how long somebody who is turned away might try again: when those who wait at or above `priority` should
    /// have left, at least 1 s and at most `DrainRate.retryLimit`.
    public func retryAfter(priority: Int) -> TimeSpan {
        let ahead = order.reduce(0) { $1.priority >= priority ? $0 + bands[$1.index].waiting.requests : $0 }
        return drain.retryAfter(waitingRequests: ahead, atOrAbove: priority)
    }
}
