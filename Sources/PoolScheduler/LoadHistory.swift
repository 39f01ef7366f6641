import Basics
import Pool
import Prediction

/// The running totals of what one endpoint has done, by the gateway's own counters; two readings tell what its steps held
/// between them.
struct LoadHistory {
    /// One reading. Sums over time are in milliseconds times their unit.
    struct Reading {
        fileprivate(set) var at: Instant
        fileprivate(set) var decodes = 0.0
        fileprivate(set) var contextTokens = 0.0
        /// Prompt tokens whose requests have answered.
        fileprivate(set) var prefillTokens = 0.0
        /// Engine time that sheddable work took, in milliseconds.
        fileprivate(set) var sheddableMilliseconds = 0.0
    }

    private var totals: Reading
    private var decodes = PerClass(repeating: 0)
    private var contextTokens = PerClass(repeating: 0)
    /// Requests without a first token, and their uncached prompt tokens.
    private(set) var pendingRequests = PerClass(repeating: 0)
    private(set) var pendingPromptTokens = PerClass(repeating: 0)

    init(now: Instant) { totals = Reading(at: now) }

    /// The totals at `now`.
    mutating func reading(_ model: StepTimeModel, now: Instant) -> Reading {
        let elapsed = max(0, (now - totals.at).milliseconds)
        totals.at = now
        let requests = Double(decodes[.realtime] + decodes[.sheddable])
        guard requests > 0, elapsed > 0 else { return totals }
        let context = Double(contextTokens[.realtime] + contextTokens[.sheddable])
        totals.decodes += requests * elapsed
        totals.contextTokens += context * elapsed
        let sheddable =
            model.perDecodeMilliseconds * Double(decodes[.sheddable])
            + model.perContextTokenMilliseconds * Double(contextTokens[.sheddable])
        let step =
            model.baseMilliseconds + model.perDecodeMilliseconds * requests
            + model.perContextTokenMilliseconds * context
        if step > 0 { totals.sheddableMilliseconds += sheddable / step * elapsed }
        return totals
    }

    /// A request has been placed.
    mutating func started(_ demand: RequestDemand, _ workClass: WorkClass) {
        pendingRequests[workClass] += 1
        pendingPromptTokens[workClass] += demand.uncachedPromptTokens
    }

    /// A request has begun to decode.
    mutating func began(_ demand: RequestDemand, _ workClass: WorkClass, _ model: StepTimeModel, now: Instant) {
        _ = reading(model, now: now)
        pendingRequests[workClass] -= 1
        pendingPromptTokens[workClass] -= demand.uncachedPromptTokens
        decodes[workClass] += 1
        contextTokens[workClass] += demand.meanContextTokens
        let prompt = Double(demand.uncachedPromptTokens)
        totals.prefillTokens += prompt
        if workClass == .sheddable { totals.sheddableMilliseconds += prompt * model.perPrefillTokenMilliseconds }
    }

    /// A request that decodes is estimated anew.
    mutating func revise(
        _ old: RequestDemand, to new: RequestDemand, _ workClass: WorkClass, _ model: StepTimeModel, now: Instant
    ) {
        _ = reading(model, now: now)
        contextTokens[workClass] += new.meanContextTokens - old.meanContextTokens
    }

    /// A request has ended.
    mutating func ended(
        _ demand: RequestDemand, _ workClass: WorkClass, hadFirstToken: Bool, _ model: StepTimeModel, now: Instant
    ) {
        _ = reading(model, now: now)
        guard hadFirstToken else {
            pendingRequests[workClass] -= 1
            pendingPromptTokens[workClass] -= demand.uncachedPromptTokens
            return
        }
        decodes[workClass] -= 1
        contextTokens[workClass] -= demand.meanContextTokens
    }

    /// What the steps held between two readings, of which one request got so many tokens.
    static func sample(
        from begin: Reading, to end: Reading, steps: Int, foreignRequests: Int, foreignContextTokens: Int
    ) -> StepSample? {
        let elapsed = (end.at - begin.at).milliseconds
        guard elapsed > 0, steps > 0 else { return nil }
        return StepSample(
            steps: Double(steps), milliseconds: elapsed,
            decodes: (end.decodes - begin.decodes) / elapsed + Double(foreignRequests),
            contextTokens: (end.contextTokens - begin.contextTokens) / elapsed + Double(foreignContextTokens),
            prefillTokens: end.prefillTokens - begin.prefillTokens)
    }
}
