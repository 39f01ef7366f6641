public import Basics
public import Pool

/// A ``WeightedPolicy`` made executable for the endpoints of one pool: filters, scorers, picker over dense columns.
///
/// A pick changes nothing that a later pick can see, and what it draws at random depends on the seed and the request's
/// id alone; so a policy can be scored in the shadow of another. What is to be remembered of a pick is told by
/// ``picked(_:for:endpoint:now:)`` once the request really goes there.
public struct WeightedPipeline: Sendable {
    /// The policy.
    public let policy: WeightedPolicy

    let seed: UInt64
    var names: [String]
    var filters: [WeightedFilterStep] = []
    var scorers: [WeightedScorerStep] = []
    var sessions: [WeightedSessionStep] = []
    var coldOrders: [WeightedColdOrder] = []

    /// Columns that a pick works in, kept so that it need not allocate. Rows of `scores`, `totals` and
    /// `latencies` are candidates, in the order of `candidates`.
    var candidates: [Int] = []
    var scores: [Double] = []
    var totals: [Double] = []
    var latencies: [WeightedLatencyRow] = []

    /// Makes a policy executable.
    ///
    /// - Parameters:
    ///   - identities: the endpoints, in the order of the tables that picks will read.
    ///   - seed: of everything drawn at random.
    public init(_ policy: WeightedPolicy, identities: [CandidateTable.Identity], seed: UInt64) {
        self.policy = policy
        self.seed = seed
        names = identities.map(\.name)
        compile(identities)
    }

    /// Replaces the endpoints; what is remembered of those that stay, by name, is kept.
    public mutating func replaceEndpoints(_ identities: [CandidateTable.Identity]) {
        let places = Dictionary(
            identities.indices.map { (identities[$0].name, $0) }, uniquingKeysWith: { first, _ in first })
        let newIndex = names.map { places[$0] ?? -1 }
        names = identities.map(\.name)
        let (oldSessions, oldOrders) = (sessions, coldOrders)
        compile(identities)
        for slot in sessions.indices {
            sessions[slot] = oldSessions[slot]
            sessions[slot].renumber(newIndex, identities: identities)
        }
        for slot in coldOrders.indices {
            coldOrders[slot] = oldOrders[slot]
            coldOrders[slot].renumber(newIndex, endpoints: identities.count)
        }
    }

    /// Decides where a request goes.
    ///
    /// - Parameters:
    ///   - table: the state of the endpoints, with the columns about this request filled in. Its endpoints are those of
    ///     the pipeline; a table of another size is taken as a change of the pool.
    ///   - wantsReceipt: whether to note how the candidates compared, which costs an allocation per candidate.
    public mutating func pick(
        for request: RoutingRequest, among table: CandidateTable, now: Instant, wantsReceipt: Bool = false
    ) -> WeightedDecision {
        if table.count != names.count { replaceEndpoints(table.identities) }
        var decision = WeightedDecision(.picked)
        if wantsReceipt { decision.receipt = WeightedReceipt() }
        candidates.removeAll(keepingCapacity: true)
        for index in 0..<table.count where table.isCandidate[index] { candidates.append(index) }
        decision.receipt?.considered = candidates.count
        guard !candidates.isEmpty else {
            decision.outcome = .noCandidates
            return decision
        }
        // Any odd factor will do but the generator's own increment, with which neighbouring ids would share its words.
        var generator = SeededGenerator(seed: seed ^ (request.id &* 0xD134_2543_DE82_EF95))
        for step in filters.indices {
            decision.boundEndpointIsAbsent |= filter(step, request, table, now: now, using: &generator)
            decision.receipt?.filterings.append(.init(filter: policy.filters[step].name, kept: candidates.count))
            guard !candidates.isEmpty else {
                let filter = policy.filters[step]
                decision.outcome =
                    filter.rule.isEligibility
                    ? .noEligibleEndpoint(filter: filter.name) : .saturated(filter: filter.name)
                return decision
            }
        }
        score(request, table, now: now, into: &decision)
        choose(into: &decision, using: &generator)
        return decision
    }

    /// Remembers where a request went: session bindings, and the order in which endpoints got uncached prompts.
    ///
    /// - Parameter endpoint: where it went, in general the decision's first.
    public mutating func picked(
        _ decision: WeightedDecision, for request: RoutingRequest, endpoint: EndpointID, now: Instant
    ) {
        guard names.indices.contains(endpoint.index) else { return }
        if decision.isCold {
            for slot in coldOrders.indices { coldOrders[slot].used(endpoint.index) }
        }
        for slot in sessions.indices {
            let mayMove = decision.boundEndpointIsAbsent & (1 << UInt64(slot)) != 0
            sessions[slot].used(endpoint.index, by: request, mayMove: mayMove, now: now)
        }
    }

    /// The response headers by which clients of stateless session affinity learn where they were served.
    public func responseHeaders(for endpoint: EndpointID) -> [(name: String, value: String)] {
        guard names.indices.contains(endpoint.index) else { return [] }
        return sessions.compactMap { step in
            step.responseHeader.map { ($0, WeightedSessionAffinity.token(forEndpoint: names[endpoint.index])) }
        }
    }

    private mutating func compile(_ identities: [CandidateTable.Identity]) {
        sessions = []
        coldOrders = []
        filters = policy.filters.map { filter in
            switch filter.rule {
            case .labelSelector(let selector): .mask(identities.map { selector.matches($0.labels) })
            case .labelValues(let label, let values, let keepsUnlabelled):
                // A missing label reads as an empty one, so that an empty value in the list admits it.
                .mask(
                    identities.map {
                        values.contains($0.labels[label] ?? "") || (keepsUnlabelled && $0.labels[label] == nil)
                    })
            case .sessionAffinity(let affinity): .session(slot: add(affinity, identities))
            case .endpointAttribute(let threshold): .attribute(threshold)
            case .utilization(let caps, let keepsAll): .utilization(caps: caps, keepsAllWhenEmpty: keepsAll)
            case .prefixCacheAffinity(let affinity): .prefixCacheAffinity(affinity)
            case .headroomTier(let probability): .headroomTier(negativeTierProbability: probability)
            case .contextLength(let label):
                .contextLength(identities.map { WeightedContextRange(label: $0.labels[label]) })
            case .utilizationDetector(let detector): .utilizationDetector(detector)
            case .concurrencyDetector(let detector): .concurrencyDetector(detector)
            }
        }
        scorers = policy.scorers.map { compiled($0.rule, identities) }
        scores = Array(repeating: 0, count: identities.count)
        totals = scores
        latencies = Array(repeating: WeightedLatencyRow(), count: identities.count)
        candidates.reserveCapacity(identities.count)
    }

    private mutating func compiled(
        _ rule: WeightedScorerRule, _ identities: [CandidateTable.Identity]
    ) -> WeightedScorerStep {
        switch rule {
        case .queue: return .queue
        case .runningRequests: return .runningRequests
        case .kvCacheUtilization: return .kvCacheUtilization
        case .loadAware(let threshold): return .loadAware(threshold: Double(max(1, threshold)))
        case .activeRequests(let idle, let busy):
            return .activeRequests(idleThreshold: Int32(clamping: max(0, idle)), maxBusyScore: busy)
        case .tokenLoad(let threshold): return .tokenLoad(threshold: Double(max(1, threshold)))
        case .prefixCache(let match): return .prefixCache(match)
        case .noHitLRU(let capacity):
            coldOrders.append(WeightedColdOrder(capacity: capacity, endpoints: identities.count))
            return .noHitLRU(slot: coldOrders.count - 1)
        case .loraAffinity: return .loraAffinity
        case .sessionAffinity(let affinity): return .session(slot: add(affinity, identities))
        case .contextLength(let label):
            return .contextLength(identities.map { WeightedContextRange(label: $0.labels[label]) })
        case .headerLabelAffinity(let header, let label):
            var values: [String: Int32] = [:]
            let column = identities.map { identity -> Int32 in
                guard let value = identity.labels[label] else { return -1 }
                if let number = values[value] { return number }
                let number = Int32(clamping: values.count)
                values[value] = number
                return number
            }
            return .headerLabel(header: header.lowercased(), values: values, column: column)
        case .endpointAttribute(let scale): return .attribute(scale)
        case .latency(let preference): return .latency(preference)
        }
    }

    private mutating func add(
        _ affinity: WeightedSessionAffinity, _ identities: [CandidateTable.Identity]
    ) -> Int {
        sessions.append(WeightedSessionStep(affinity, identities: identities))
        return sessions.count - 1
    }
}
