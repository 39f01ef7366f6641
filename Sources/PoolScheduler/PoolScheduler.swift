import Admission
public import Basics
public import Harvest
public import Pool
import Prediction
import PrefixIndex
public import Routing

/// Decides for one pool who goes next, where, and how much batch work fits: events in, actions out.
///
/// The live gateway and the lab run this same code. Requests are reported as they are submitted, produce their first
/// token, and end; `tick` is to be called every 50 ms. Real-time requests are placed strictly before sheddable ones:
/// while one of them waits, no sheddable request is started.
public struct PoolScheduler: Sendable {
    /// Requests that are looked at behind a head that does not fit.
    static let passingLimit = 32
    /// How long messages wait for any endpoint to come up, and how long they then stay away.
    static let messagePatience = TimeSpan.seconds(2)
    static let messagePause = TimeSpan.seconds(5)
    /// Longer prompts are counted as this long, in tokens.
    static let promptTokenLimit = 1 << 30
    /// Longer answers are reserved room for as they grow, in tokens: a client's limit is a claim, not a fact.
    static let outputReservationLimit = 8192

    /// The pool's name.
    public let name: String
    /// The endpoints with their live load.
    public internal(set) var endpoints: [Endpoint]
    /// What has happened since the start.
    public internal(set) var counters = SchedulerCounters()
    let configuration: PoolConfiguration
    var ledgers: [EndpointLedger]
    var router: PolicyRouter
    /// Judges places in milliseconds, whoever chose them.
    let cost: CostRouter
    var shadow: PolicyRouter?
    /// How the shadow policy does; nil without one.
    public internal(set) var shadowTally: ShadowTally?
    var table: CandidateTable
    var usage: UsageGate
    /// What keeps flows above their shares from the others; nil where nothing does.
    var isolation: IsolationGate?
    /// When each endpoint last told its metrics.
    var scrapes: [Instant?]
    /// The request that the table is about.
    var considered: UInt64?
    var sessions = SessionMemory()
    /// When each endpoint last went down: what it had cached before is gone.
    var emptied: [Instant?]
    var index: PrefixIndex
    var predictor: LatencyPredictor
    /// Requests without a first token, per endpoint, of the same moment as the table.
    var awaitingRequests: [Int32]
    var decisions = DecisionLog()
    var room: WaitingRoom
    var held: [UInt64: HeldRequest] = [:]
    /// A reservation of the third quartile is outgrown by every fourth answer, and grows with those as they come.
    var outputLengths = PerClass(repeating: OutputLengthModel(quantile: 0.75))
    /// Where batch work with a common beginning has been sent.
    var prefixGroups = PrefixGroups()
    var isDraining = false
    /// Since when no endpoint has been up.
    var allDownSince: Instant?

    /// Creates the scheduler of a pool with nothing in flight.
    public init(configuration: PoolConfiguration, now: Instant) {
        self.configuration = configuration
        name = configuration.name
        endpoints = configuration.endpoints
        allDownSince = configuration.endpoints.contains(where: \.isUp) ? nil : now
        var admission = configuration.admission
        if case .predictive(var detector) = admission.saturation {
            detector.ttftLimitMilliseconds = configuration.harvest.ttftLimitMilliseconds
            admission.saturation = .predictive(detector)
        }
        room = WaitingRoom(configuration: admission)
        usage = UsageGate(admission.usageLimit)
        isolation = admission.isolationTolerance.map {
            IsolationGate(endpoints: configuration.endpoints.count, tolerance: $0)
        }
        scrapes = Array(repeating: nil, count: configuration.endpoints.count)
        emptied = scrapes
        predictor = LatencyPredictor(
            endpointClasses: Array(repeating: 0, count: configuration.endpoints.count),
            prior: configuration.endpoints.first?.capacity.stepTime)
        awaitingRequests = Array(repeating: 0, count: configuration.endpoints.count)
        index = PrefixIndex(maximumEntries: configuration.prefix.maximumEntries, seed: configuration.prefix.seed)
        let identities = configuration.endpoints.map { CandidateTable.Identity(name: $0.name, labels: $0.labels) }
        table = CandidateTable(identities, attributeNames: configuration.attributes)
        let seed = configuration.prefix.seed
        router = PolicyRouter(configuration.routing, identities: identities, seed: seed)
        if case .cost(let cost) = configuration.routing {
            self.cost = CostRouter(configuration: cost)
        } else {
            cost = CostRouter()
        }
        shadow = configuration.shadow.map { PolicyRouter($0, identities: identities, seed: seed &+ 1) }
        shadowTally = shadow == nil ? nil : ShadowTally()
        ledgers = configuration.endpoints.map { endpoint in
            EndpointLedger(
                harvest: HarvestController(configuration: configuration.harvest, now: now),
                configuredStepTime: endpoint.capacity.stepTime, now: now)
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
        if isDraining { return [reject(request.id, .shuttingDown, priority: request.priority)] }
        let demand = demand(of: request, workClass)
        let entry = HeldRequest(request, demand: demand, now: now)
        guard request.isMessage ? request.allowedEndpoints?.isEmpty != true : hasUntriedEndpoint(entry) else {
            return [reject(request.id, .noEndpoints, priority: request.priority)]
        }
        held[request.id] = entry
        let waiting = Self.waiting(entry)
        if workClass == .realtime, room.realtimeCount == 0, let endpoint = pick(for: entry, now: now) {
            room.dispatchedWithoutWaiting(waiting, now: now)
            var actions = [place(request.id, on: endpoint, now: now)]
            brake(endpoint, now: now, into: &actions)
            return actions
        }
        if let late = tooLate(waiting, entry, now: now) {
            held[request.id] = nil
            return [late]
        }
        switch room.insert(waiting, now: now) {
        case .refused:
            held[request.id] = nil
            return [reject(request.id, .queueFull, priority: request.priority)]
        case .admitted(let evicted):
            return evict(evicted, now: now) + placeWaiting(now: now)
        }
    }

    /// A request produced its first token (or the first byte of its answer).
    public mutating func firstToken(_ id: UInt64, now: Instant) {
        guard let index = held.index(forKey: id), let placement = held.values[index].placement,
            placement.firstToken == nil
        else { return }
        noteFirstToken(at: index, placement, now: now)
    }

    /// A request that streams has so many tokens out: about every 16 to 32 of them, and at will.
    ///
    /// Its stretch since the last report tells the pace of the engine, and a reservation that it has outgrown grows.
    ///
    /// - Parameter longestGap: the longest time between two of its tokens since the last report; nil if nobody has looked.
    public mutating func progressed(
        _ id: UInt64, outputTokens: Int, longestGap: TimeSpan? = nil, now: Instant
    ) {
        guard let index = held.index(forKey: id), let placement = held.values[index].placement,
            placement.firstToken != nil
        else { return }
        let endpoint = placement.endpoint.index
        predictProgress(of: id, at: endpoint, outputTokens: outputTokens, longestGap: longestGap, now: now)
        learnSteps(at: index, placement, outputTokens: outputTokens, now: now)
        let entry = held.values[index]
        guard outputTokens > entry.demand.expectedOutputTokens else { return }
        var demand = entry.demand
        demand.expectedOutputTokens = min(outputTokens, Self.promptTokenLimit) * 5 / 4
        endpoints[endpoint].load.revise(entry.demand, to: demand, entry.workClass)
        ledgers[endpoint].history.revise(
            entry.demand, to: demand, entry.workClass, endpoints[endpoint].capacity.stepTime, now: now)
        held.values[index].demand = demand
    }

    /// A request ended with a complete answer.
    public mutating func finished(_ id: UInt64, _ answer: AnswerFacts, now: Instant) -> [SchedulerAction] {
        guard let index = held.index(forKey: id) else {
            // Called back at the moment at which its answer was complete: the answer counts all the same.
            counters.note(answer)
            return []
        }
        guard let placement = held.values[index].placement else { return [] }
        noteFinish(at: index, placement, answer, now: now)
        let entry = held.remove(at: index).value
        let ended = entry.placement ?? placement
        unplace(id, entry, ended, now: now)
        counters.finished[entry.workClass] += 1
        counters.note(answer)
        let outputTokens = answer.outputTokens.map { min(max(0, $0), Self.promptTokenLimit) }
        if let outputTokens {
            outputLengths[entry.workClass].observe(
                outputTokens: outputTokens, flow: entry.request.flow, model: entry.request.model)
        }
        learnOutcome(of: entry, ended, answer, outputTokens: outputTokens, now: now)
        if entry.workClass == .sheddable {
            ledgers[ended.endpoint.index].harvest.batchFinished(
                uncachedPromptTokens: entry.demand.uncachedPromptTokens, outputTokens: outputTokens ?? 0,
                residence: now - ended.started)
        }
        settle(
            entry,
            used: TokenUse(
                uncachedInputTokens: Self.uncachedTokens(of: answer, placement) ?? entry.demand.uncachedPromptTokens,
                outputTokens: outputTokens ?? entry.demand.expectedOutputTokens), now: now)
        return placeWaiting(now: now)
    }

    /// Prompt tokens that the engine computed, if the answer tells its prompt's length.
    private static func uncachedTokens(of answer: AnswerFacts, _ placement: Placement) -> Int? {
        answer.promptTokens.map { told in
            let prompt = min(max(0, told), promptTokenLimit)
            return prompt - min(max(0, answer.cachedPromptTokens ?? placement.cachedPromptTokens), prompt)
        }
    }

    /// A request ended otherwise: its client left, its endpoint failed it for good, or its shell gave it up.
    public mutating func cancelled(_ id: UInt64, now: Instant) -> [SchedulerAction] {
        guard held[id] != nil else { return [] }
        if room.remove(id, now: now) != nil { held[id] = nil } else { release(id, now: now) }
        return placeWaiting(now: now)
    }

    /// The endpoint failed the request before any byte of an answer: it is placed elsewhere, if there is an elsewhere.
    ///
    /// Messages are handed back instead, as their own retry policy decides.
    public mutating func failedBeforeAnswer(_ id: UInt64, now: Instant) -> [SchedulerAction] {
        guard let entry = held[id], let placement = entry.placement else { return [] }
        unplace(id, entry, placement, now: now)
        settle(entry, used: .none, now: now)
        held[id]?.placement = nil
        held[id]?.failedEndpoints.append(placement.endpoint)
        guard held[id].map({ hasUntriedEndpoint($0) }) ?? false, !entry.request.isMessage,
            case .admitted(let evicted) = room.insert(Self.waiting(entry), now: now)
        else {
            held[id] = nil
            return [reject(id, .endpointsFailed, priority: entry.request.priority)] + placeWaiting(now: now)
        }
        counters.retried += 1
        return evict(evicted, now: now) + placeWaiting(now: now)
    }

    /// An endpoint went down or came back. Requests in flight on it are the shell's to report.
    public mutating func endpointChanged(_ id: EndpointID, isUp: Bool, now: Instant) -> [SchedulerAction] {
        considered = nil
        endpoints[id.index].isUp = isUp
        if !isUp {
            forgetSpeed(of: id.index)
            // What it publishes says by itself when it is gone; it would not be told a second time.
            self.index.clearRouted(endpoint: id.index)
            predictor.restarted(endpoint: id.index)
            emptied[id.index] = now
        }
        let anyIsUp = endpoints.contains(where: \.isUp)
        allDownSince = anyIsUp ? nil : allDownSince ?? now
        room.endpointsChanged(anyIsUp: anyIsUp, now: now)
        return isUp ? placeWaiting(now: now) : []
    }

    /// What an endpoint reported about itself. The size of its KV cache is taken only where none was configured.
    public mutating func scraped(_ id: EndpointID, _ metrics: ScrapedMetrics, now: Instant) -> [SchedulerAction] {
        scrapes[id.index] = now
        table.scrapedWaiting[id.index] = Int32(clamping: metrics.waiting ?? 0)
        table.scrapedRunning[id.index] = Int32(clamping: metrics.running ?? 0)
        table.scrapedKVUsage[id.index] = Float(metrics.kvUsage ?? 0)
        if let adapters = metrics.adapters {
            table.adapters[id.index] = CandidateTable.Adapters(
                active: adapters.active, waiting: adapters.waiting, limit: adapters.limit)
        }
        for (column, value) in zip(table.attributes.indices, metrics.attributes) {
            table.attributes[column][id.index] = value ?? .nan
        }
        if let running = metrics.running {
            let runningAndWaiting = running + (metrics.waiting ?? 0)
            endpoints[id.index].foreignLoad.observe(
                scrapedRequests: runningAndWaiting, ownRequests: endpoints[id.index].load.requests, now: now)
        }
        if endpoints[id.index].capacity.kvTokens == nil {
            endpoints[id.index].capacity.kvTokens = metrics.kvCapacityTokens
            index.setCapacity(metrics.kvCapacityTokens, endpoint: id.index)
        }
        if let usage = metrics.kvUsage, let kvTokens = endpoints[id.index].capacity.kvTokens {
            predictor.reported(
                endpoint: id.index, kvUsage: usage, kvTokens: kvTokens,
                contextTokens: endpoints[id.index].load.contextTokens, now: now)
        }
        return placeWaiting(now: now)
    }

    /// Time passes: waits expire, the brake is judged, the prefill bucket has filled.
    public mutating func tick(now: Instant) -> [SchedulerAction] {
        var actions: [SchedulerAction] = []
        for expired in room.removeExpired(now: now) {
            held[expired.id] = nil
            let cause: Rejection.Cause = endpoints.contains(where: \.isUp) ? .expired : .noEndpoints
            actions.append(reject(expired.id, cause, priority: expired.priority))
        }
        actions += turnAwayMessages(now: now)
        for index in endpoints.indices {
            assumeFirstTokens(on: index, now: now)
            ledgers[index].harvest.tick(
                endpoint: endpoints[index], backlog: backlog(on: index, now: now), now: now)
            brake(EndpointID(index), now: now, into: &actions)
        }
        actions += placeWaiting(now: now)
        return actions + placeBehindHeads(now: now)
    }

    /// Turns everybody who waits away and lets nobody in any more; requests in flight go on.
    public mutating func drain(now: Instant) -> [SchedulerAction] {
        isDraining = true
        return room.removeAll(now: now).map { request in
            held[request.id] = nil
            return reject(request.id, .shuttingDown, priority: request.priority)
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
