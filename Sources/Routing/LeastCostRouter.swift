public import Basics
public import Pool

/// Chooses the endpoint that is expected to finish a request soonest.
///
/// The cost is in milliseconds: the prompt tokens queued ahead and the request's own, computed at the endpoint's prefill
/// speed, then one step per expected output token at the pace of the batch that it would join.
public struct LeastCostRouter: Sendable {
    private var turn = 0

    /// Creates a router.
    public init() {}

    /// The cheapest endpoint that accepts the request, or nil if none does.
    ///
    /// Equal costs are taken in turn, so that an idle pool is not loaded from one end.
    /// - Parameter excluded: endpoints already tried for this request.
    public mutating func pick(
        for demand: RequestDemand, among endpoints: [Endpoint], excluding excluded: [EndpointID] = [], now: Instant
    ) -> EndpointID? {
        var best: (cost: Double, id: EndpointID)?
        let count = endpoints.count
        guard count > 0 else { return nil }
        turn = (turn &+ 1) % count
        for offset in 0..<count {
            let index = (turn + offset) % count
            guard !excluded.contains(EndpointID(index)), endpoints[index].accepts(demand, now: now) else { continue }
            let cost = Self.costMilliseconds(of: demand, on: endpoints[index], now: now)
            if best.map({ cost < $0.cost }) ?? true { best = (cost, EndpointID(index)) }
        }
        return best?.id
    }

    /// The expected time from sending the request to its last token, in milliseconds.
    public static func costMilliseconds(of demand: RequestDemand, on endpoint: Endpoint, now: Instant) -> Double {
        let model = endpoint.capacity.stepTime
        let load = endpoint.load
        let prefill =
            model.perPrefillTokenMilliseconds * Double(load.pendingPrefillTokens + demand.uncachedPromptTokens)
        let step = model.stepMilliseconds(
            decodes: load.requests + endpoint.foreignLoad.requests(now: now) + 1,
            contextTokens: load.contextTokens + demand.meanContextTokens, prefillTokens: 0)
        return prefill + step * Double(max(1, demand.expectedOutputTokens))
    }
}
