import Basics
import Pool
public import Routing

/// Where a real-time request goes.
extension PoolScheduler {
    /// The receipt of a request that asked for one, while it is among the latest.
    public func receipt(of id: UInt64) -> DecisionReceipt? { decisions[id] }

    /// The endpoint for a request, if any can take it now. `table` is then about this request.
    mutating func pick(for entry: HeldRequest, now: Instant) -> EndpointID? {
        consider(entry, now: now)
        guard let index = router.pick(entry.routing, among: table) else { return nil }
        if entry.request.isExplained { explain(entry, picked: index, now: now) }
        return EndpointID(index)
    }

    /// Fills the table with what is known of every endpoint for this request, now.
    mutating func consider(_ entry: HeldRequest, now: Instant) {
        considered = entry.request.id
        for index in endpoints.indices {
            let load = endpoints[index].load
            let model = endpoints[index].capacity.stepTime
            let foreign = endpoints[index].foreignLoad.requests(now: now)
            let cached = cachedPromptTokens(of: entry, at: index, now: now)
            let demand = entry.demand.cached(promptTokens: cached)
            table.isCandidate[index] =
                endpoints[index].accepts(demand, now: now) && entry.mayUse(EndpointID(index))
            table.cachedPromptTokens[index] = Int32(clamping: cached)
            table.inFlightRequests[index] = Int32(clamping: load.requests + foreign)
            table.decodingRequests[index] = Int32(
                clamping: load.requests - load.requestsAwaitingFirstToken + foreign)
            table.pendingPrefillTokens[index] = Int32(clamping: load.pendingPrefillTokens)
            table.contextTokens[index] = Int32(clamping: load.contextTokens)
            table.reservedKVTokens[index] = Int32(clamping: load.reservedKVTokens)
            table.kvTokens[index] = Int32(clamping: endpoints[index].capacity.kvTokens ?? 0)
            table.prefillTokenMilliseconds[index] = Float(model.perPrefillTokenMilliseconds)
            table.addedStepMilliseconds[index] = Float(
                model.perDecodeMilliseconds + model.perContextTokenMilliseconds * Double(demand.meanContextTokens))
            let step = model.stepMilliseconds(
                decodes: load.requests + foreign + 1, contextTokens: load.contextTokens + demand.meanContextTokens,
                prefillTokens: 0)
            table.predictedTTFTMilliseconds[index] = Float(
                step + model.perPrefillTokenMilliseconds
                    * Double(load.pendingPrefillTokens + demand.uncachedPromptTokens))
            table.predictedTPOTMilliseconds[index] = Float(step)
            table.tightestTPOTLimitMilliseconds[index] = ledgers[index].tightestTPOTLimit
        }
    }

    /// Prompt tokens of a request that an endpoint has cached, as far as is known.
    private func cachedPromptTokens(of entry: HeldRequest, at index: Int, now: Instant) -> Int {
        var tokens = entry.request.cachedPromptTokens
        if let session = entry.request.session, let turn = sessions.turn(of: session, now: now),
            turn.endpoint == index
        {
            tokens = max(tokens, turn.tokens)
        }
        return min(tokens, entry.demand.promptTokens)
    }

    /// Notes what a complete answer says about the expectations with which its request was placed.
    mutating func learnOutcome(
        of entry: HeldRequest, _ placement: Placement, _ answer: AnswerFacts, outputTokens: Int?, now: Instant
    ) {
        guard entry.request.isExplained else { return }
        decisions.complete(entry.request.id) { outcome in
            outcome.cachedPromptTokens = answer.cachedPromptTokens
            outcome.outputTokens = outputTokens
            if let firstToken = placement.firstToken, let outputTokens, outputTokens > 1 {
                outcome.tpotMilliseconds = (now - firstToken).milliseconds / Double(outputTokens - 1)
            }
        }
    }

    private mutating func explain(_ entry: HeldRequest, picked: Int, now: Instant) {
        let candidates = table.identities.indices.map { index in
            DecisionReceipt.Candidate(
                endpoint: table.identities[index].name, isCandidate: table.isCandidate[index],
                cost: router.cost(of: entry.routing, at: index, in: table),
                cachedPromptTokens: Int(table.cachedPromptTokens[index]),
                predictedTTFTMilliseconds: table.predictedTTFTMilliseconds[index],
                predictedTPOTMilliseconds: table.predictedTPOTMilliseconds[index])
        }
        decisions.note(
            entry.request.id,
            DecisionReceipt(
                policy: "cost", decided: now, waited: now - entry.submitted, candidates: candidates, picked: picked))
    }
}
