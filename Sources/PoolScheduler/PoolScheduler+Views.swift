public import Admission
public import Basics
public import Pool
public import Prediction
public import PrefixIndex
public import Routing

/// What a scheduler has learned and whom it keeps waiting, at one moment; for metrics and the status page.
public struct PoolInsight: Sendable {
    /// The pool.
    public var name: String
    /// What waits in every band that is known, highest priority first.
    public var bands: [BandSnapshot]
    /// The flows that have got most, at most as many as were asked for.
    public var flows: [FlowSnapshot]
    /// How full the pool is for a real-time request by its saturation detector; from 1 on it waits. 1 if nothing is up.
    public var admissionSaturation: Double
    /// The prefix index.
    public var prefix: PrefixIndexStatistics
    /// How a candidate policy does; nil without one.
    public var shadow: ShadowInsight?
    /// What is known of each endpoint, in table order; filled by `PoolScheduler.endpointInsights(_:)`.
    public var endpoints: [EndpointInsight]

    /// Creates an insight.
    public init(
        name: String, bands: [BandSnapshot] = [], flows: [FlowSnapshot] = [], admissionSaturation: Double = 0,
        prefix: PrefixIndexStatistics = PrefixIndexStatistics(), shadow: ShadowInsight? = nil,
        endpoints: [EndpointInsight] = []
    ) {
        self.name = name
        self.bands = bands
        self.flows = flows
        self.admissionSaturation = admissionSaturation
        self.prefix = prefix
        self.shadow = shadow
        self.endpoints = endpoints
    }
}

/// How a candidate policy does beside the live one.
public struct ShadowInsight: Hashable, Sendable {
    /// Its name.
    public var policy: String
    /// What it would have done.
    public var tally: ShadowTally

    /// Creates an insight.
    public init(policy: String, tally: ShadowTally) {
        self.policy = policy
        self.tally = tally
    }
}

/// What a scheduler has learned of one endpoint.
public struct EndpointInsight: Hashable, Sendable {
    /// Host and port.
    public var name: String
    /// How good the predicted times to first token were lately.
    public var ttft: PredictionAccuracy
    /// How good the predicted times per output token were lately.
    public var tpot: PredictionAccuracy
    /// Its step time, as believed now.
    public var stepTime: StepTimeModel
    /// Tokens that it is believed to have cached.
    public var cachedTokens: Int
    /// Tokens that it is believed to keep cached; nil while no limit is known.
    public var cacheCapacityTokens: Int?

    /// Creates an insight.
    public init(
        name: String, ttft: PredictionAccuracy, tpot: PredictionAccuracy, stepTime: StepTimeModel,
        cachedTokens: Int = 0,
        cacheCapacityTokens: Int? = nil
    ) {
        self.name = name
        self.ttft = ttft
        self.tpot = tpot
        self.stepTime = stepTime
        self.cachedTokens = cachedTokens
        self.cacheCapacityTokens = cacheCapacityTokens
    }
}

extension PoolScheduler {
    /// What is known of the pool, without its endpoints.
    ///
    /// - Parameters:
    ///   - demand: the real-time request that the saturation is worked out for.
    ///   - flowLimit: the most flows that are told.
    public mutating func insight(for demand: RequestDemand, flowLimit: Int, now: Instant) -> PoolInsight {
        let policy = shadowPolicyName ?? ""
        return PoolInsight(
            name: name, bands: room.bandSnapshots(now: now), flows: room.flowSnapshots(limit: flowLimit),
            admissionSaturation: admissionSaturation(for: demand, now: now), prefix: index.statistics,
            shadow: shadowTally.map { ShadowInsight(policy: policy, tally: $0) })
    }

    /// What is known of some endpoints, in table order. Each costs some 10 µs, so that who holds a lock asks for a few at a
    /// time.
    public func endpointInsights(_ range: Range<Int>) -> [EndpointInsight] {
        range.clamped(to: endpoints.indices).map { number in
            EndpointInsight(
                name: endpoints[number].name, ttft: predictor.accuracy(endpoint: number),
                tpot: predictor.outputAccuracy(endpoint: number), stepTime: endpoints[number].capacity.stepTime,
                cachedTokens: index.heldTokens(endpoint: number),
                cacheCapacityTokens: index.capacityTokens(endpoint: number))
        }
    }

    /// How full the pool is for a request of `demand` that any endpoint might take, by the saturation detector.
    mutating func admissionSaturation(for demand: RequestDemand, now: Instant) -> Double {
        let rows = endpoints.indices.filter { endpoints[$0].isUp }
        var columns = EndpointColumns(
            waitingRequests: rows.map { Int(table.scrapedWaiting[$0]) },
            kvCacheUsage: rows.map { Double(table.scrapedKVUsage[$0]) },
            scrapeAge: rows.map { row in scrapes[row].map { now - $0 } },
            requestsInFlight: rows.map { endpoints[$0].load.requests },
            tokensInFlight: rows.map { endpoints[$0].load.contextTokens })
        if case .predictive = room.configuration.saturation {
            for row in rows {
                let load = endpoints[row].load
                let queue = predictor.queueMilliseconds(
                    endpoint: row, pendingPrefillTokens: load.pendingPrefillTokens,
                    decodingRequests: load.requests - load.requestsAwaitingFirstToken
                        + endpoints[row].foreignLoad.requests(now: now),
                    awaitingRequests: load.requestsAwaitingFirstToken, contextTokens: load.contextTokens, now: now)
                let own =
                    endpoints[row].capacity.stepTime.perPrefillTokenMilliseconds * Double(demand.uncachedPromptTokens)
                columns.predictedTTFTMilliseconds.append(own + queue)
                columns.unloadedTTFTMilliseconds.append(own)
            }
        }
        return room.configuration.saturation.saturation(of: columns, count: rows.count)
    }
}
