import Admission
public import Basics
public import Harvest
public import Pool
import PrefixIndex
import Routing

/// Decides for one pool who goes next, where, and how much batch work fits: events in, actions out.
///
/// The live gateway and the lab run this same code. Requests are reported as they are submitted, produce their first
/// token, and end; `tick` is to be called every 50 ms. Real-time requests are placed strictly before sheddable ones:
/// while one of them waits, no sheddable request is started.
public struct PoolScheduler: Sendable {
    /// Requests that are looked at behind a head that does not fit.
    private static let passingLimit = 32
    /// How long messages wait for any endpoint to come up, and how long they then stay away.
    private static let messagePatience = TimeSpan.seconds(2)
    private static let messagePause = TimeSpan.seconds(5)
    /// Longer prompts are counted as this long, in tokens.
    static let promptTokenLimit = 1 << 30
    /// Longer answers are reserved room for as they grow, in tokens: a client's limit is a claim, not a fact.
    private static let outputReservationLimit = 8192

    /// The pool's name.
    public let name: String
    /// The endpoints with their live load.
    public internal(set) var endpoints: [Endpoint]
    /// What has happened since the start.
    public internal(set) var counters = SchedulerCounters()
    let configuration: PoolConfiguration
    var ledgers: [EndpointLedger]
    var router: CostRouter
    var table: CandidateTable
    /// The request that the table is about.
    var considered: UInt64?
    var sessions = SessionMemory()
    var index: PrefixIndex
    var decisions = DecisionLog()
    var room: WaitingRoom
    var held: [UInt64: HeldRequest] = [:]
    var outputLengths = PerClass(repeating: OutputLengthEstimate(quantile: 0.75))
    var finishRate = RateEstimate(timeConstant: .seconds(10))
    var isDraining = false
    /// Since when no endpoint has been up.
    var allDownSince: Instant?

    /// Creates the scheduler of a pool with nothing in flight.
    public init(configuration: PoolConfiguration, now: Instant) {
        self.configuration = configuration
        name = configuration.name
        endpoints = configuration.endpoints
        allDownSince = configuration.endpoints.contains(where: \.isUp) ? nil : now
        room = WaitingRoom(limits: configuration.admission)
        router = CostRouter(configuration: configuration.routing)
        index = PrefixIndex(maximumEntries: configuration.prefix.maximumEntries, seed: configuration.prefix.seed)
        table = CandidateTable(
            configuration.endpoints.map { CandidateTable.Identity(name: $0.name, labels: $0.labels) })
        ledgers = configuration.endpoints.map { endpoint in
            EndpointLedger(
                harvest: HarvestController(configuration: configuration.harvest, now: now),
                configuredStepTime: endpoint.capacity.stepTime)
        }
        for (number, endpoint) in endpoints.enumerated() {
            index.setCapacity(endpoint.capacity.kvTokens, endpoint: number)
        }
    }

    // MARK: Events

    /// A request asks for a place.
    public mutating func submit(_ request: PoolRequest, now: Instant) -> [SchedulerAction] {
        let workClass = WorkClass(priority: request.priority)
        counters.submitted[workClass] += 1
        if isDraining { return [reject(request.id, .shuttingDown, now: now)] }
        let demand = demand(of: request, workClass)
        guard request.isMessage || endpoints.contains(where: \.isUp) else {
            return [reject(request.id, .noEndpoints, now: now)]
        }
        if request.allowedEndpoints?.isEmpty == true { return [reject(request.id, .noEndpoints, now: now)] }
        let entry = HeldRequest(request: request, submitted: now, demand: demand)
        held[request.id] = entry
        if workClass == .realtime, room.realtimeCount == 0, let endpoint = pick(for: entry, now: now) {
            return [place(request.id, on: endpoint, now: now)]
        }
        if room.insert(waiting(request, now: now)) != nil {
            held[request.id] = nil
            return [reject(request.id, .queueFull, now: now)]
        }
        return placeWaiting(now: now)
    }

    /// A request produced its first token (or the first byte of its answer).
    public mutating func firstToken(_ id: UInt64, now: Instant) {
        guard let index = held.index(forKey: id), let placement = held.values[index].placement,
            placement.firstToken == nil
        else { return }
        endpoints[placement.endpoint.index].load.firstToken(held.values[index].demand)
        held.values[index].placement?.firstToken = now
        if held.values[index].request.isExplained {
            decisions.complete(id) { $0.ttftMilliseconds = (now - placement.started).milliseconds }
        }
    }

    /// A request has generated more than was expected of it; its reservation grows with it.
    public mutating func progressed(_ id: UInt64, outputTokens: Int, now: Instant) {
        guard var entry = held[id], let placement = entry.placement, placement.firstToken != nil,
            outputTokens > entry.demand.expectedOutputTokens
        else { return }
        var demand = entry.demand
        demand.expectedOutputTokens = min(outputTokens, Self.promptTokenLimit) * 5 / 4
        endpoints[placement.endpoint.index].load.revise(entry.demand, to: demand, entry.workClass)
        entry.demand = demand
        held[id] = entry
    }

    /// A request ended with a complete answer.
    public mutating func finished(_ id: UInt64, _ answer: AnswerFacts, now: Instant) -> [SchedulerAction] {
        guard let index = held.index(forKey: id), let placement = held.values[index].placement else { return [] }
        let entry = held.remove(at: index).value
        unplace(id, entry, placement)
        finishRate.add(1, now: now)
        counters.finished[entry.workClass] += 1
        let outputTokens = answer.outputTokens.map { min(max(0, $0), Self.promptTokenLimit) }
        if let outputTokens {
            outputLengths[entry.workClass].observe(outputTokens: outputTokens)
            if entry.request.isOneSequence {
                learnSpeed(of: placement.endpoint.index, outputTokens: outputTokens, residence: now - placement.started)
            }
        }
        learnOutcome(of: entry, placement, answer, outputTokens: outputTokens, now: now)
        if entry.workClass == .sheddable {
            ledgers[placement.endpoint.index].harvest.batchFinished(
                tokens: entry.demand.promptTokens + (outputTokens ?? 0), residence: now - placement.started)
        }
        return placeWaiting(now: now)
    }

    /// A request ended otherwise: its client left, its endpoint failed it for good, or its shell gave it up.
    public mutating func cancelled(_ id: UInt64, now: Instant) -> [SchedulerAction] {
        guard held[id] != nil else { return [] }
        if room.remove(id) != nil { held[id] = nil } else { release(id) }
        return placeWaiting(now: now)
    }

    /// The endpoint failed the request before any byte of an answer: it is placed elsewhere, if there is an elsewhere.
    ///
    /// Messages are handed back instead, as their own retry policy decides.
    public mutating func failedBeforeAnswer(_ id: UInt64, now: Instant) -> [SchedulerAction] {
        guard let entry = held[id], let placement = entry.placement else { return [] }
        unplace(id, entry, placement)
        held[id]?.placement = nil
        held[id]?.failedEndpoints.append(placement.endpoint)
        guard hasUntriedEndpoint(id), !entry.request.isMessage, room.insert(waiting(entry.request, now: now)) == nil
        else {
            held[id] = nil
            return [reject(id, .endpointsFailed, now: now)] + placeWaiting(now: now)
        }
        counters.retried += 1
        return placeWaiting(now: now)
    }

    /// An endpoint went down or came back. Requests in flight on it are the shell's to report.
    public mutating func endpointChanged(_ id: EndpointID, isUp: Bool, now: Instant) -> [SchedulerAction] {
        endpoints[id.index].isUp = isUp
        if !isUp {
            forgetSpeed(of: id.index)
            self.index.clear(endpoint: id.index)
        }
        if endpoints.contains(where: \.isUp) { allDownSince = nil } else { allDownSince = allDownSince ?? now }
        return isUp ? placeWaiting(now: now) : []
    }

    /// What an endpoint reported about itself. The size of its KV cache is taken only where none was configured.
    public mutating func scraped(_ id: EndpointID, _ metrics: ScrapedMetrics, now: Instant) -> [SchedulerAction] {
        if let running = metrics.running {
            let runningAndWaiting = running + (metrics.waiting ?? 0)
            endpoints[id.index].foreignLoad.observe(
                scrapedRequests: runningAndWaiting, ownRequests: endpoints[id.index].load.requests, now: now)
        }
        if endpoints[id.index].capacity.kvTokens == nil {
            endpoints[id.index].capacity.kvTokens = metrics.kvCapacityTokens
            index.setCapacity(metrics.kvCapacityTokens, endpoint: id.index)
        }
        return placeWaiting(now: now)
    }

    /// Time passes: waits expire, the brake is judged, the prefill bucket has filled.
    public mutating func tick(now: Instant) -> [SchedulerAction] {
        var actions: [SchedulerAction] = []
        for expired in room.removeExpired(now: now) {
            held[expired.id] = nil
            let cause: Rejection.Cause = endpoints.contains(where: \.isUp) ? .expired : .noEndpoints
            actions.append(reject(expired.id, cause, now: now))
        }
        actions += turnAwayMessages(now: now)
        for index in endpoints.indices {
            for id in ledgers[index].removeAssumed(now: now) where held[id]?.placement?.endpoint.index == index {
                firstToken(id, now: now)
            }
            ledgers[index].harvest.tick(load: endpoints[index].load, now: now)
            // Who keeps a real-time request waiting like this is not that fast, whatever it has proved before.
            if ledgers[index].harvest.isTooSilent(oldestSilence(on: index, now: now)) {
                forgetSpeed(of: index)
            }
            actions += brake(EndpointID(index), now: now)
        }
        actions += placeWaiting(now: now)
        return actions + placeBehindHeads(now: now)
    }

    /// Turns everybody who waits away and lets nobody in any more; requests in flight go on.
    public mutating func drain(now: Instant) -> [SchedulerAction] {
        isDraining = true
        return room.removeAll().map { request in
            held[request.id] = nil
            return reject(request.id, .shuttingDown, now: now)
        }
    }

    // MARK: Views

    /// Requests that wait, per band, highest priority first.
    public var queueDepths: [(priority: Int, requests: Int, bytes: Int)] { room.depths }

    /// Requests that wait or run.
    public var requestCount: Int { held.count }

    /// Sheddable requests that wait here for room in the pool.
    public var waitingSheddable: Int { room.sheddableCount }

    /// Sheddable requests in flight.
    public var sheddableInFlight: Int { endpoints.reduce(0) { $0 + $1.load.sheddableRequests } }

    /// What the harvest law says of each endpoint for a request of `demand`.
    public mutating func harvestStates(for demand: RequestDemand, now: Instant) -> [HarvestState] {
        endpoints.indices.map { judge(demand, on: $0, now: now) }
    }
}

// MARK: - Placing

extension PoolScheduler {
    private func waiting(_ request: PoolRequest, now: Instant) -> WaitingRequest {
        let limit = configuration.admission.timeToLive
        let timeToLive = min(request.timeToLive ?? limit, limit)
        let deadline = request.deadline ?? .distantFuture
        let expires = request.isMessage ? deadline : min(deadline, now + timeToLive)
        return WaitingRequest(
            id: request.id, priority: request.priority, expires: expires,
            orderingDeadline: request.priority < 0 ? expires : .zero, bytes: request.bytes,
            countsAgainstLimits: !request.isMessage)
    }

    /// Places requests that fit behind a head that does not (a long prompt and a full KV cache), within the head's band.
    ///
    /// Done at ticks only: between them a head keeps what becomes free to itself.
    private mutating func placeBehindHeads(now: Instant) -> [SchedulerAction] {
        var actions: [SchedulerAction] = []
        for request in room.behindHead(realtime: true, limit: Self.passingLimit) {
            guard let entry = held[request.id], let endpoint = pick(for: entry, now: now) else { continue }
            room.remove(request.id)
            actions.append(place(request.id, on: endpoint, now: now))
        }
        guard room.realtimeCount == 0 else { return actions }
        for request in room.behindHead(realtime: false, limit: Self.passingLimit) {
            guard let entry = held[request.id], let endpoint = harvestPlace(for: entry, now: now) else { continue }
            room.remove(request.id)
            actions.append(place(request.id, on: endpoint, now: now))
        }
        return actions
    }

    /// Hands messages back when no endpoint has been up for a while, so that they do not stand in the way of messages for
    /// other pools.
    private mutating func turnAwayMessages(now: Instant) -> [SchedulerAction] {
        guard let allDownSince, now - allDownSince >= Self.messagePatience else { return [] }
        let messages = held.values.filter { $0.request.isMessage && $0.placement == nil }.map(\.request.id)
        return messages.sorted().map { id in
            room.remove(id)
            held[id] = nil
            counters.rejected[.noEndpoints, default: 0] += 1
            return .reject(id, Rejection(cause: .noEndpoints, retryAfter: Self.messagePause))
        }
    }

    /// What a request will take up, as far as can be known; every number in it is bounded, whatever the client wrote.
    private func demand(of request: PoolRequest, _ workClass: WorkClass) -> RequestDemand {
        let limit = request.maxOutputTokens.map { max(0, $0) }
        let expected =
            request.runsToLimit
            ? limit ?? 0 : outputLengths[workClass].expectedTokens(maxTokens: limit)
        let prompt = min(max(0, request.promptTokens), Self.promptTokenLimit)
        let demand = RequestDemand(
            promptTokens: prompt, expectedOutputTokens: min(expected, Self.outputReservationLimit),
            uncachedPromptTokens: min(max(0, prompt - max(0, request.cachedPromptTokens)), prompt))
        // What no cache can hold is for the engine to refuse; counted, it would hold everybody else up until then.
        let largest = endpoints.compactMap(\.capacity.kvTokens).max() ?? .max
        return demand.kvTokens > largest ? RequestDemand(promptTokens: 0, expectedOutputTokens: 0) : demand
    }

    private mutating func placeWaiting(now: Instant) -> [SchedulerAction] {
        guard room.count > 0 else { return [] }
        var actions: [SchedulerAction] = []
        while let head = room.head(realtime: true), let entry = held[head.id] {
            // Nobody may wait for endpoints that have all failed it, least of all in front of others.
            if !entry.failedEndpoints.isEmpty, !hasUntriedEndpoint(head.id) {
                room.remove(head.id)
                held[head.id] = nil
                actions.append(reject(head.id, .endpointsFailed, now: now))
                continue
            }
            var picked = pick(for: entry, now: now)
            if picked == nil {
                actions += makeRoom(for: entry, now: now)
                picked = pick(for: entry, now: now)
            }
            guard let endpoint = picked else { break }
            room.remove(head.id)
            actions.append(place(head.id, on: endpoint, now: now))
        }
        while room.realtimeCount == 0, let head = room.head(realtime: false), let entry = held[head.id],
            let endpoint = harvestPlace(for: entry, now: now)
        {
            room.remove(head.id)
            actions.append(place(head.id, on: endpoint, now: now))
        }
        return actions
    }

    func hasUntriedEndpoint(_ id: UInt64) -> Bool {
        guard let entry = held[id] else { return false }
        return endpoints.indices.contains { endpoints[$0].isUp && entry.mayUse(EndpointID($0)) }
    }

    private mutating func place(_ id: UInt64, on endpoint: EndpointID, now: Instant) -> SchedulerAction {
        guard let place = held.index(forKey: id) else {
            preconditionFailure("placed a request that is not held: \(id)")
        }
        if considered != id { consider(held.values[place], now: now) }
        considered = nil
        let index = endpoint.index
        let cached = Int(table.cachedPromptTokens[index])
        let ageShare = noteRouted(held.values[place], to: index)
        held.values[place].demand = held.values[place].demand.cached(promptTokens: cached)
        held.values[place].placement = Placement(
            endpoint: endpoint, started: now, cachedPromptTokens: cached,
            cachedBlocks: Int(table.cachedBlocks[index]), ageShare: ageShare,
            predictedTTFTMilliseconds: table.predictedTTFTMilliseconds[index],
            predictedTPOTMilliseconds: table.predictedTPOTMilliseconds[index])
        let entry = held.values[place]
        ledgers[index].addTPOTLimit(entry.request.tpotLimitMilliseconds)
        if let session = entry.request.session {
            sessions.note(session, endpoint: index, tokens: entry.demand.kvTokens, now: now)
        }
        endpoints[index].load.reserve(entry.demand, entry.workClass)
        ledgers[index].started(
            id, entry.workClass,
            assumedFirstToken: entry.request.streams ? nil : now + prefillTime(on: endpoints[index]), now: now)
        switch entry.workClass {
        case .realtime: ledgers[index].harvest.realtimePlaced(entry.demand, now: now)
        case .sheddable: ledgers[index].harvest.batchPlaced(entry.demand, now: now)
        }
        counters.started[entry.workClass] += 1
        return .start(id, endpoint)
    }

    /// When the prompts that wait on an endpoint, the one placed last included, should have been computed.
    private func prefillTime(on endpoint: Endpoint) -> TimeSpan {
        let model = endpoint.capacity.stepTime
        let step = model.stepMilliseconds(
            decodes: endpoint.load.requests, contextTokens: endpoint.load.contextTokens, prefillTokens: 0)
        let prefill = model.perPrefillTokenMilliseconds * Double(endpoint.load.pendingPrefillTokens)
        return .milliseconds(2 * step + prefill)
    }

    mutating func release(_ id: UInt64) {
        guard let entry = held.removeValue(forKey: id), let placement = entry.placement else { return }
        unplace(id, entry, placement)
    }

    private mutating func unplace(_ id: UInt64, _ entry: HeldRequest, _ placement: Placement) {
        let index = placement.endpoint.index
        endpoints[index].load.release(entry.demand, entry.workClass, hadFirstToken: placement.firstToken != nil)
        ledgers[index].removeTPOTLimit(entry.request.tpotLimitMilliseconds)
        if entry.workClass == .sheddable { ledgers[index].endedSheddable(id) }
    }

    private mutating func reject(_ id: UInt64, _ cause: Rejection.Cause, now: Instant) -> SchedulerAction {
        counters.rejected[cause, default: 0] += 1
        let perSecond = finishRate.perSecond(now: now)
        let drainSeconds = perSecond > 0 ? Double(room.count) / perSecond : 1
        return .reject(id, Rejection(cause: cause, retryAfter: .seconds(min(max(drainSeconds, 1), 30))))
    }
}
