import Admission
import Basics
import Harvest
import Pool
import Prediction
import Routing

/// Who waits, who starts, and who is turned away.
///
/// What looks at many parts of the scheduler is mutating even where it changes none: it is then looked at in place, while
/// a reading method would be handed a copy of some kilobytes.
extension PoolScheduler {
    static func waiting(_ entry: HeldRequest) -> WaitingRequest {
        let request = entry.request
        return WaitingRequest(
            id: request.id, priority: request.priority, flow: request.flow, enqueued: entry.submitted.time,
            timeToLive: request.timeToLive, deadline: request.deadline,
            ttftLimit: request.ttftLimitMilliseconds.map { .milliseconds($0) }, bytes: request.bytes,
            use: entry.submitted.expectedUse, countsAgainstLimits: !request.isMessage)
    }

    /// Corrects what the flow of a request was charged for it.
    mutating func settle(_ entry: HeldRequest, used: TokenUse, now: Instant) {
        room.settle(
            flow: entry.request.flow, priority: entry.request.priority, estimated: entry.submitted.expectedUse,
            actual: used,
            now: now)
    }

    /// The refusal of a request that would have to wait longer than it may; nil if it may still be in time.
    mutating func tooLate(_ waiting: WaitingRequest, _ entry: HeldRequest, now: Instant) -> SchedulerAction? {
        guard !entry.request.isMessage, entry.request.timeToLive != nil || entry.request.deadline != nil,
            let drain = room.drain.estimate(atOrAbove: entry.request.priority)
        else { return nil }
        let place = quickestPlace(for: entry, now: now)
        let untilAnswer = place.map { TimeSpan.milliseconds(Double($0.ttft)) } ?? .zero
        let output = place.map { Double($0.tpot) * Double(entry.demand.expectedOutputTokens) } ?? 0
        // A time to live is about waiting here; a deadline is about the whole answer.
        let ends = [
            entry.request.timeToLive.map { (now + $0, TimeSpan.zero, TimeSpan.zero) },
            entry.request.deadline.map { ($0, untilAnswer, TimeSpan.milliseconds(output)) },
        ].compactMap { $0 }
        for (deadline, firstToken, outputTime) in ends {
            let forecast = DeadlineFeasibility.Forecast(
                tokensAhead: room.workAhead(of: waiting), drain: drain, timeToFirstToken: firstToken,
                outputTime: outputTime, observedAnswers: counters.finished[.realtime])
            if case .infeasible(let earliest) = configuration.admission.feasibility.judge(
                deadline: deadline, forecast, now: now)
            {
                counters.rejected[.infeasible, default: 0] += 1
                let retryAfter = min(max(earliest - deadline, .seconds(1)), .seconds(30))
                return .reject(
                    entry.request.id,
                    Rejection(cause: .infeasible, retryAfter: retryAfter, earliest: earliest - now))
            }
        }
        return nil
    }

    /// Places requests that fit behind a head that does not (a long prompt and a full KV cache), within the head's band.
    ///
    /// Done at ticks only: between them a head keeps what becomes free to itself.
    mutating func placeBehindHeads(now: Instant) -> [SchedulerAction] {
        var actions: [SchedulerAction] = []
        for request in passingRealtime(now: now) {
            guard let entry = held[request.id], let endpoint = pick(for: entry, now: now) else { continue }
            room.dispatch(request.id, now: now)
            actions.append(place(request.id, on: endpoint, now: now))
        }
        guard room.realtimeCount == 0 else { return actions }
        for request in room.behindHead(realtime: false, now: now, limit: Self.passingLimit) {
            guard let entry = held[request.id], let endpoint = harvestPlace(for: entry, now: now) else { continue }
            room.dispatch(request.id, now: now)
            actions.append(place(request.id, on: endpoint, now: now))
        }
        return actions
    }

    /// Who may pass the head: nobody, if the head only waits for the pool to become less full. Smaller requests would keep
    /// it just as full for ever.
    private mutating func passingRealtime(now: Instant) -> [WaitingRequest] {
        guard let head = room.head(realtime: true, now: now), let entry = held[head.id] else { return [] }
        consider(entry, now: now)
        // One that may only go to some endpoints holds up nobody who may go to others.
        if entry.request.allowedEndpoints == nil, table.isCandidate.contains(true) { return [] }
        return room.behindHead(realtime: true, now: now, limit: Self.passingLimit)
    }

    /// Hands messages back when no endpoint has been up for a while, so that they do not stand in the way of messages for
    /// other pools.
    mutating func turnAwayMessages(now: Instant) -> [SchedulerAction] {
        guard let allDownSince, now - allDownSince >= Self.messagePatience else { return [] }
        let messages = held.values.filter { $0.request.isMessage && $0.placement == nil }.map(\.request.id)
        return messages.sorted().map { id in
            room.remove(id, now: now)
            held[id] = nil
            counters.rejected[.noEndpoints, default: 0] += 1
            return .reject(id, Rejection(cause: .noEndpoints, retryAfter: Self.messagePause))
        }
    }

    /// What a request will take up, as far as can be known; every number in it is bounded, whatever the client wrote.
    mutating func demand(of request: PoolRequest, _ workClass: WorkClass) -> RequestDemand {
        let limit = request.maxOutputTokens.map { max(0, $0) }
        let expected =
            request.runsToLimit
            ? limit ?? 0
            : outputLengths[workClass].quantileTokens(flow: request.flow, model: request.model, maxTokens: limit)
        let prompt = min(max(0, request.promptTokens), Self.promptTokenLimit)
        let demand = RequestDemand(
            promptTokens: prompt, expectedOutputTokens: min(expected, Self.outputReservationLimit),
            uncachedPromptTokens: min(max(0, prompt - max(0, request.cachedPromptTokens)), prompt))
        // What no cache can hold is for the engine to refuse; counted, it would hold everybody else up until then.
        var largest = 0
        for endpoint in endpoints.indices { largest = max(largest, endpoints[endpoint].capacity.kvTokens ?? 0) }
        if largest == 0 { largest = .max }
        return demand.kvTokens > largest ? RequestDemand(promptTokens: 0, expectedOutputTokens: 0) : demand
    }

    mutating func placeWaiting(now: Instant) -> [SchedulerAction] {
        guard room.count > 0 else { return [] }
        var actions: [SchedulerAction] = []
        room.resumeTurns()
        while let head = room.head(realtime: true, now: now), let entry = held[head.id] {
            // Nobody may wait for endpoints that have all failed it or are all down, least of all in front of others.
            if entry.isSelective, !hasUntriedEndpoint(entry) {
                room.remove(head.id, now: now)
                let cause: Rejection.Cause = entry.failedEndpoints.isEmpty ? .noEndpoints : .endpointsFailed
                actions.append(turnAway(head.id, cause, now: now))
                continue
            }
            var picked = pick(for: entry, now: now)
            if picked == nil {
                actions += makeRoom(for: entry, now: now)
                picked = pick(for: entry, now: now)
            }
            guard let endpoint = picked else {
                // Who is kept from the others does not stand in their way.
                if room.deferTurn(flow: entry.request.flow, priority: entry.request.priority) { continue }
                break
            }
            room.dispatch(head.id, now: now)
            actions.append(place(head.id, on: endpoint, now: now))
            brake(endpoint, now: now, into: &actions)
        }
        while room.realtimeCount == 0, let head = room.head(realtime: false, now: now), let entry = held[head.id],
            let endpoint = harvestPlace(for: entry, now: now)
        {
            room.dispatch(head.id, now: now)
            actions.append(place(head.id, on: endpoint, now: now))
        }
        return actions
    }

    mutating func hasUntriedEndpoint(_ entry: HeldRequest) -> Bool {
        for index in endpoints.indices where endpoints[index].isUp && entry.mayUse(EndpointID(index)) { return true }
        return false
    }

    mutating func place(_ id: UInt64, on endpoint: EndpointID, now: Instant) -> SchedulerAction {
        guard let place = held.index(forKey: id) else {
            preconditionFailure("placed a request that is not held: \(id)")
        }
        let index = endpoint.index
        let isSheddable = held.values[place].workClass == .sheddable
        // Harvesting asks nothing of the table: it may still be as it was when the request came.
        if isSheddable || considered != id { consider(held.values[place], now: now) }
        if isSheddable, held.values[place].request.isExplained {
            explain(held.values[place], by: Self.harvestPolicyName, picked: index, now: now)
        }
        considered = nil
        let cached = Int(table.cachedPromptTokens[index])
        let ageShare = noteRouted(held.values[place], to: index)
        let features = latencyFeatures(of: held.values[place].demand, cachedTokens: cached, at: index, now: now)
        held.values[place].demand = held.values[place].demand.cached(promptTokens: cached)
        let reading = ledgers[index].history.reading(endpoints[index].capacity.stepTime, now: now)
        held.values[place].placement = Placement(
            endpoint: endpoint, started: now, atStart: reading, lastHeard: reading, cachedPromptTokens: cached,
            cachedBlocks: Int(table.cachedBlocks[index]), ageShare: ageShare,
            features: features, predictedTTFTMilliseconds: predictor.ttftMilliseconds(endpoint: index, features))
        predictor.sent(
            id, endpoint: index, features: features, showsFirstToken: held.values[place].request.streams, now: now)
        noteIsolation(at: place, now: now)
        let entry = held.values[place]
        ledgers[index].addTPOTLimit(entry.request.tpotLimitMilliseconds)
        if let session = entry.request.session {
            sessions.note(session, endpoint: index, tokens: entry.demand.kvTokens, now: now)
        }
        if let adapter = entry.request.adapter { table.adapters[index].requested(adapter) }
        endpoints[index].load.reserve(entry.demand, entry.workClass)
        ledgers[index].history.started(entry.demand, entry.workClass)
        ledgers[index].started(
            id, entry.workClass,
            assumedFirstToken: entry.request.streams
                ? nil : now + Self.prefillTime(endpoints[index].capacity.stepTime, endpoints[index].load), now: now)
        switch entry.workClass {
        case .realtime: ledgers[index].harvest.realtimePlaced(entry.demand, now: now)
        case .sheddable: ledgers[index].harvest.batchPlaced(entry.demand, now: now)
        }
        counters.started[entry.workClass] += 1
        return .start(id, endpoint)
    }

    /// When the prompts that wait on an endpoint, the one placed last included, should have been computed.
    private static func prefillTime(_ model: StepTimeModel, _ load: EndpointLoad) -> TimeSpan {
        let step = model.stepMilliseconds(
            decodes: load.requests, contextTokens: load.contextTokens, prefillTokens: 0)
        let prefill = model.perPrefillTokenMilliseconds * Double(load.pendingPrefillTokens)
        return .milliseconds(2 * step + prefill)
    }

    /// Lets go of a request that ends without a complete answer.
    mutating func release(_ id: UInt64, now: Instant) {
        guard let entry = held.removeValue(forKey: id), let placement = entry.placement else { return }
        unplace(id, entry, placement, now: now)
        // Its prompt was computed if it has answered; how much of its answer was, nobody knows.
        let used =
            placement.firstToken == nil
            ? TokenUse.none : TokenUse(uncachedInputTokens: entry.demand.uncachedPromptTokens, outputTokens: 0)
        settle(entry, used: used, now: now)
    }

    mutating func unplace(_ id: UInt64, _ entry: HeldRequest, _ placement: Placement, now: Instant) {
        let index = placement.endpoint.index
        endpoints[index].load.release(entry.demand, entry.workClass, hadFirstToken: placement.firstToken != nil)
        ledgers[index].history.ended(
            entry.demand, entry.workClass, hadFirstToken: placement.firstToken != nil,
            endpoints[index].capacity.stepTime, now: now)
        if placement.firstToken == nil { predictor.withdrew(id, endpoint: index, now: now) }
        if let context = entry.contextKeptBack { isolation?.ended(at: index, contextTokens: context) }
        ledgers[index].removeTPOTLimit(entry.request.tpotLimitMilliseconds)
        if entry.workClass == .sheddable { ledgers[index].endedSheddable(id) }
    }

    /// Turns requests away that have had to make room for another.
    mutating func evict(_ requests: [WaitingRequest], now: Instant) -> [SchedulerAction] {
        counters.evicted += requests.count
        return requests.map { turnAway($0.id, .queueFull, now: now) }
    }

    /// Forgets a request that waits no longer, and tells why.
    mutating func turnAway(_ id: UInt64, _ cause: Rejection.Cause, now: Instant) -> SchedulerAction {
        let priority = held.removeValue(forKey: id)?.request.priority ?? 0
        return reject(id, cause, priority: priority)
    }

    mutating func reject(_ id: UInt64, _ cause: Rejection.Cause, priority: Int) -> SchedulerAction {
        counters.rejected[cause, default: 0] += 1
        return .reject(id, Rejection(cause: cause, retryAfter: room.retryAfter(priority: priority)))
    }
}
