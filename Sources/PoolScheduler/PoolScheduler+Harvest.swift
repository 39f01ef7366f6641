import Basics
import Harvest
import InferenceAPI
import Pool

/// How much batch work fits beside real-time work, and when it is called back.
extension PoolScheduler {
    /// What receipts of sheddable requests call that which decided on their place.
    static let harvestPolicyName = "harvest"

    mutating func judge(_ demand: RequestDemand, on index: Int, now: Instant) -> HarvestState {
        ledgers[index].harvest.judge(
            demand, on: endpoints[index], backlog: backlog(on: index, now: now), now: now)
    }

    mutating func backlog(on index: Int, now: Instant) -> RealtimeBacklog {
        RealtimeBacklog(
            oldestSilence: ledgers[index].oldestSilence(now: now) { Self.isSilent(held[$0], on: index) },
            promptTokens: ledgers[index].history.pendingPromptTokens[.realtime],
            requests: ledgers[index].history.pendingRequests[.realtime])
    }

    static func isSilent(_ entry: HeldRequest?, on index: Int) -> Bool {
        guard let placement = entry?.placement else { return false }
        return placement.firstToken == nil && placement.endpoint.index == index
    }

    /// Where a batch request goes, if any endpoint has room for it: where batch work with the same beginning went before it,
    /// else to the fullest endpoint that still has room, so that others stay free for real-time work.
    mutating func harvestPlace(for entry: HeldRequest, now: Instant) -> EndpointID? {
        let hashes = entry.request.promptBlocks.hashes
        let home = prefixGroups.endpoint(of: hashes)
        var best: (slack: Int, id: EndpointID)?
        for index in endpoints.indices where entry.mayUse(EndpointID(index)) {
            let state = judge(entry.demand, on: index, now: now)
            guard state.limit == nil else { continue }
            if home == EndpointID(index) {
                best = (0, EndpointID(index))
                break
            }
            let slack = state.allowedBatchRequests - endpoints[index].load.sheddableRequests
            if best.map({ slack < $0.slack }) ?? true { best = (slack, EndpointID(index)) }
        }
        if let best { prefixGroups.note(hashes, on: best.id) }
        return best?.id
    }

    /// Calls back the youngest batch requests of an endpoint on which real-time work surges.
    mutating func brake(_ endpoint: EndpointID, now: Instant, into actions: inout [SchedulerAction]) {
        let index = endpoint.index
        let surplus = ledgers[index].harvest.requestsToCallBack(
            from: endpoints[index], backlog: backlog(on: index, now: now), now: now)
        guard surplus > 0 else { return }
        var calledBack = 0
        for id in ledgers[index].sheddable.reversed() where calledBack < surplus {
            guard let entry = held[id], mayCallBack(entry) else { continue }
            let lost = lostTokens(entry, now: now)
            guard ledgers[index].harvest.mayWaste(lostTokens: lost) else { break }
            actions.append(callBack(id, from: endpoint, lostTokens: lost, now: now))
            calledBack += 1
        }
    }

    /// Calls batch work back so that a real-time request that waits can be placed: the pool is real-time's in a peak.
    ///
    /// Only where that makes room, and no more than it takes.
    mutating func makeRoom(for waiting: HeldRequest, now: Instant) -> [SchedulerAction] {
        let candidates = endpoints.indices
            .filter { !ledgers[$0].sheddable.isEmpty && waiting.mayUse(EndpointID($0)) }
            .sorted { ledgers[$0].sheddable.count > ledgers[$1].sheddable.count }
        for index in candidates {
            var emptied = endpoints[index]
            let callable = ledgers[index].sheddable.reversed().filter { held[$0].map(mayCallBack) ?? false }
            for entry in callable.compactMap({ held[$0] }) {
                emptied.load.release(
                    entry.demand, .sheddable, hadFirstToken: entry.placement?.firstToken != nil)
            }
            guard emptied.accepts(waiting.demand, now: now) else { continue }
            var actions: [SchedulerAction] = []
            for id in callable where !endpoints[index].accepts(waiting.demand, now: now) {
                guard let entry = held[id] else { continue }
                actions.append(callBack(id, from: EndpointID(index), lostTokens: lostTokens(entry, now: now), now: now))
            }
            return actions
        }
        return []
    }

    func mayCallBack(_ entry: HeldRequest) -> Bool {
        entry.request.isMessage || entry.placement?.firstToken == nil
    }

    private mutating func callBack(_ id: UInt64, from endpoint: EndpointID, lostTokens: Int, now: Instant)
        -> SchedulerAction
    {
        ledgers[endpoint.index].harvest.batchAborted(lostTokens: lostTokens)
        counters.calledBack += 1
        counters.lostTokens += lostTokens
        release(id, now: now)
        return .callBack(id, endpoint)
    }

    /// The work done for a request so far, in tokens: its prompt once it has answered, and a token per step since.
    private func lostTokens(_ entry: HeldRequest, now: Instant) -> Int {
        guard let placement = entry.placement else { return 0 }
        guard let firstToken = placement.firstToken else { return entry.demand.uncachedPromptTokens / 2 }
        let endpoint = endpoints[placement.endpoint.index]
        let step = endpoint.capacity.stepTime.stepMilliseconds(
            decodes: endpoint.load.requests, contextTokens: endpoint.load.contextTokens, prefillTokens: 0)
        let generated = step > 0 ? Int((now - firstToken).milliseconds / step) : 0
        return entry.demand.promptTokens + min(generated, entry.demand.expectedOutputTokens)
    }
}
