import Basics
import Pool

/// How much of the allowed step time an endpoint's requests in flight take once they all decode, in milliseconds.
///
/// The allowed time is `T* = theta * TPOT limit`; the number of requests that exactly fill it is the cap
/// `R = (T* - a) / (b0 + c_kv * context)` of the shared reference `workloads.md` D.5 step 2, here kept as a sum because
/// contexts differ between real-time and batch work.
struct StepBudget {
    private let model: StepTimeModel
    private let meanRealtimeContextTokens: Int
    /// Real-time requests in flight, those of others included.
    let realtimeRequests: Int
    /// Step time left for further requests; negative if the endpoint holds too many.
    let left: Double
    /// Step time that would be left if there were no batch work.
    let leftOfRealtime: Double

    init(configuration: HarvestConfiguration, endpoint: Endpoint, now: Instant) {
        let load = endpoint.load
        let foreign = endpoint.foreignLoad.requests(now: now)
        model = endpoint.capacity.stepTime
        realtimeRequests = load.realtimeRequests + foreign
        meanRealtimeContextTokens =
            load.realtimeRequests > 0
            ? load.realtimeContextTokens / load.realtimeRequests : Self.assumedContextTokens
        let allowed = configuration.stepShare * configuration.tpotLimitMilliseconds
        let realtimeContext = load.realtimeContextTokens + foreign * meanRealtimeContextTokens
        leftOfRealtime =
            allowed
            - model.stepMilliseconds(decodes: realtimeRequests, contextTokens: realtimeContext, prefillTokens: 0)
        left =
            allowed
            - model.stepMilliseconds(
                decodes: realtimeRequests + load.sheddableRequests,
                contextTokens: realtimeContext + load.sheddableContextTokens, prefillTokens: 0)
    }

    /// What one more request adds to every step.
    func cost(of demand: RequestDemand) -> Double {
        max(1e-6, model.perDecodeMilliseconds + model.perContextTokenMilliseconds * Double(demand.meanContextTokens))
    }

    /// What so many more real-time requests like those in flight would add to every step.
    func costOfRealtime(requests: Int) -> Double {
        let perRequest =
            model.perDecodeMilliseconds + model.perContextTokenMilliseconds * Double(meanRealtimeContextTokens)
        return Double(requests) * perRequest
    }

    /// Taken for the context of real-time requests while none is in flight; the mean of the Azure conversation trace.
    private static let assumedContextTokens = 1260
}
