/// Chooses the endpoint where a request costs least, in expected milliseconds.
///
/// Where a limit on the time per output token is named, an endpoint that meets all limits is preferred to one that does
/// not, and among those that meet them the cheapest is taken; packing is left to batch work.
public struct CostRouter: Sendable {
    private let configuration: RoutingCostConfiguration
    /// Where the search begins: equal costs are taken in turn, so that an idle pool is not loaded from one end.
    private var turn = 0

    /// Creates a router.
    public init(configuration: RoutingCostConfiguration = .init()) { self.configuration = configuration }

    /// The cheapest candidate, or nil if there is none.
    public mutating func pick(_ request: RoutingRequest, among table: CandidateTable) -> Int? {
        let count = table.count
        guard count > 0 else { return nil }
        turn = turn + 1 < count ? turn + 1 : 0
        var best: (cost: Float, index: Int)?
        for offset in 0..<count {
            let index = turn + offset < count ? turn + offset : turn + offset - count
            guard table.isCandidate[index] else { continue }
            let cost = cost(of: request, at: index, in: table).total
            if best.map({ cost < $0.cost }) ?? true { best = (cost, index) }
        }
        return best?.index
    }

    /// What the request costs at one endpoint.
    public func cost(of request: RoutingRequest, at index: Int, in table: CandidateTable) -> RoutingCost {
        var cost = RoutingCost()
        let ttft = max(0, table.predictedTTFTMilliseconds[index])
        let tpot = max(0, table.predictedTPOTMilliseconds[index])
        let outputs = Float(max(0, request.expectedOutputTokens - 1))
        cost.firstToken = ttft
        cost.decode = configuration.decodeShare * tpot * outputs
        let prefill = Float(table.uncachedTokens(of: request, at: index)) * table.prefillTokenMilliseconds[index]
        let decoding = Float(table.decodingRequests[index])
        cost.interference =
            configuration.interferenceShare * decoding
            * (prefill + configuration.decodeShare * table.addedStepMilliseconds[index] * outputs)
        cost.penalty = configuration.penaltyFactor * excess(request, at: index, ttft: ttft, tpot: tpot, in: table)
        if let adapter = request.adapter { cost.adapter = loading(of: adapter, at: index, in: table) }
        return cost
    }

    /// Milliseconds by which limits would be missed: this request's, and on the time per token those of others there.
    private func excess(
        _ request: RoutingRequest, at index: Int, ttft: Float, tpot: Float, in table: CandidateTable
    ) -> Float {
        var excess: Float = 0
        if let limit = request.ttftLimitMilliseconds { excess += max(0, ttft - Float(limit)) }
        let limit = min(
            request.tpotLimitMilliseconds.map { Float($0) } ?? .infinity, table.tightestTPOTLimitMilliseconds[index])
        if limit < .infinity {
            excess += max(0, tpot - limit) * Float(max(1, request.expectedOutputTokens))
        }
        return excess
    }

    private func loading(of adapter: String, at index: Int, in table: CandidateTable) -> Float {
        let adapters = table.adapters[index]
        if adapters.active.contains(adapter) || adapters.waiting.contains(adapter) { return 0 }
        return adapters.limit == 0 || adapters.active.count < adapters.limit
            ? configuration.adapterLoadMilliseconds : configuration.adapterSwapMilliseconds
    }
}
