import Basics
import Pool

/// How much of the time that a token may take an endpoint's requests in flight take up, in milliseconds.
///
/// In the long run a request costs every step `b0 + c_kv * context`, and the steps it lives through also carry its prompt:
/// another `c_p * prompt / output` each. Prompts of real-time work come as they please, so they are not spread over steps
/// but taken off the time there is, as the share of it that they lately took or are about to take. This is the cap of the
/// shared reference `workloads.md` D.5 step 2, `R = (T* - a) / (b0 + c_kv * context)`, kept as a sum because contexts
/// differ, and with the prompts in it.
struct StepBudget {
    private let model: StepTimeModel
    private let prefillPerSheddable: Double
    /// Real-time requests in flight, those of others included.
    let realtimeRequests: Int
    /// What the decodes of real-time work take of every step, in milliseconds; their recent rises are kept free.
    let realtimeMilliseconds: Double
    /// What a token takes now on average if no further batch prompt is sent, in milliseconds.
    let millisecondsPerToken: Double
    /// The share of the time that batch prompts may take now.
    let sheddablePrefillShare: Double
    /// Time left for further requests; negative if the endpoint holds too many.
    let left: Double

    /// - Parameters:
    ///   - allowed: what a token may take on average, in milliseconds.
    ///   - prefillShare: the share of the time that real-time prompts take (0...1).
    ///   - promptPerOutput: prompt tokens of batch work for each token that it generates.
    init(
        endpoint: Endpoint, allowed: Double, prefillShare: Double, promptPerOutput: Double, now: Instant
    ) {
        let load = endpoint.load
        let foreign = endpoint.foreignLoad.requests(now: now)
        model = endpoint.capacity.stepTime
        prefillPerSheddable = model.perPrefillTokenMilliseconds * promptPerOutput
        realtimeRequests = load.realtimeRequests + foreign
        let meanContext =
            load.realtimeRequests > 0
            ? load.realtimeContextTokens / load.realtimeRequests : Self.assumedContextTokens
        realtimeMilliseconds =
            model.perDecodeMilliseconds * Double(realtimeRequests)
            + model.perContextTokenMilliseconds * Double(load.realtimeContextTokens + foreign * meanContext)
        let sheddable = Double(load.sheddableRequests)
        let step =
            model.baseMilliseconds + realtimeMilliseconds + sheddable * model.perDecodeMilliseconds
            + model.perContextTokenMilliseconds * Double(load.sheddableContextTokens)
        left = allowed * (1 - prefillShare) - step - sheddable * prefillPerSheddable
        millisecondsPerToken = step / max(1 - prefillShare, 0.05)
        sheddablePrefillShare = max(0, 1 - prefillShare - step / max(allowed, 1e-9))
    }

    /// What one more batch request adds to every step.
    func cost(of demand: RequestDemand) -> Double {
        max(
            1e-6,
            model.perDecodeMilliseconds + prefillPerSheddable
                + model.perContextTokenMilliseconds * Double(demand.meanContextTokens))
    }

    /// Taken for the context of others' requests while no real-time request is in flight here; the mean of the Azure
    /// conversation trace.
    private static let assumedContextTokens = 1260
}
