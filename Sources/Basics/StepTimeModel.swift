/// The time of one step of a continuous-batching engine as a linear function of what the step holds.
///
/// `T = base + perDecode * decodes + perContextToken * contextTokens + perPrefillToken * prefillTokens`, in milliseconds.
/// Fitted on 21 measured points of Llama-3.1-8B on one H100 (shared reference `workloads.md` A.5): requests/s within
/// 0.7 %, time per token within 3.5 %. The engine model uses it as its physics, the scheduler as its belief.
public struct StepTimeModel: Hashable, Sendable {
    /// Fixed cost of a step, in milliseconds (`a`).
    public var baseMilliseconds: Double
    /// Cost of each request that decodes in the step, in milliseconds (`b0`).
    public var perDecodeMilliseconds: Double
    /// Cost of each token of context that a decoding request reads, in milliseconds (`c_kv`).
    public var perContextTokenMilliseconds: Double
    /// Cost of each prompt token computed in the step, in milliseconds (`c_p`).
    public var perPrefillTokenMilliseconds: Double

    /// Creates a model from its four constants, all in milliseconds.
    public init(
        baseMilliseconds: Double, perDecodeMilliseconds: Double, perContextTokenMilliseconds: Double,
        perPrefillTokenMilliseconds: Double
    ) {
        self.baseMilliseconds = baseMilliseconds
        self.perDecodeMilliseconds = perDecodeMilliseconds
        self.perContextTokenMilliseconds = perContextTokenMilliseconds
        self.perPrefillTokenMilliseconds = perPrefillTokenMilliseconds
    }

    /// The time of a step, in milliseconds.
    ///
    /// - Parameters:
    ///   - decodes: requests that produce one token each.
    ///   - contextTokens: the sum of the context lengths of those requests, in tokens.
    ///   - prefillTokens: uncached prompt tokens computed in the step.
    public func stepMilliseconds(decodes: Int, contextTokens: Int, prefillTokens: Int) -> Double {
        baseMilliseconds + perDecodeMilliseconds * Double(decodes)
            + perContextTokenMilliseconds * Double(contextTokens)
            + perPrefillTokenMilliseconds * Double(prefillTokens)
    }

    /// The model of an engine that needs `factor` times as long for everything.
    public func scaled(by factor: Double) -> StepTimeModel {
        StepTimeModel(
            baseMilliseconds: baseMilliseconds * factor, perDecodeMilliseconds: perDecodeMilliseconds * factor,
            perContextTokenMilliseconds: perContextTokenMilliseconds * factor,
            perPrefillTokenMilliseconds: perPrefillTokenMilliseconds * factor)
    }
}
