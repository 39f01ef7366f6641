import Basics

/// What is believed of an engine's step time, in milliseconds per unit: the step time model of `Basics` and a cost of
/// attention, which grows with the tokens before the ones that are computed (shared reference `scheduling.md` 4.6).
struct StepConstants: Sendable {
    var base: Double
    var decode: Double
    var context: Double
    var token: Double
    var attention: Double
    /// The share of the decoding requests that end in a step.
    var endsPerStep = 1.0 / 128

    /// Takes over what has been learned of them.
    mutating func take(_ learner: StepTimeLearner) {
        base = max(learner.model.baseMilliseconds, 0.2)
        decode = learner.model.perDecodeMilliseconds
        context = learner.model.perContextTokenMilliseconds
        token = max(learner.model.perPrefillTokenMilliseconds, 1e-5)
        attention = learner.attentionMilliseconds
    }

    /// The milliseconds that a sample should have taken per step.
    func milliseconds(_ sample: StepSample) -> Double {
        base + decode * sample.decodes + context * sample.contextTokens
            + (token * sample.prefillTokens + attention * sample.attention) / sample.steps
    }

    /// The law of an endpoint that is `correction` times as slow and decodes this much.
    @inline(__always)
    func law(decodingRequests: Double, contextTokens: Double, correction: Double) -> StepLaw {
        StepLaw(
            decodeMilliseconds: correction * (base + decode * decodingRequests + context * contextTokens),
            perTokenMilliseconds: correction * token, perAttentionMilliseconds: correction * attention)
    }
}

/// The time of a step at one endpoint as a function of the prompt tokens in it, its decodes being what they are.
struct StepLaw: Sendable {
    /// The time of a step without any prompt token; above zero.
    var decodeMilliseconds = 8.0
    /// What a prompt token adds.
    var perTokenMilliseconds = 0.03
    /// What a unit of attention work adds.
    var perAttentionMilliseconds = 0.0
    /// Tokens of KV cache for prompts that are being computed.
    var roomTokens = Double.infinity

    func milliseconds(tokens: Double, attention: Double) -> Double {
        decodeMilliseconds + perTokenMilliseconds * tokens + perAttentionMilliseconds * attention
    }
}
