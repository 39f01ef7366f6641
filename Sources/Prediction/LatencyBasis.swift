/// The terms in which latencies are linear (shared reference `scheduling.md` 4.6), each scaled to be of order one.
///
/// Beyond the terms of 4.6 the number of engine steps is counted out, and what is left of the step under way is taken
/// from the shadow of the endpoint's queue (`PrefillBacklog`).
enum LatencyBasis {
    typealias Vector = RelativeLeastSquares.Vector

    /// How deep the queue is in which a request is put; conformal quantiles are kept per depth.
    static let depths = 5

    /// Prompt tokens that fit in a step beside the decodes.
    @inline(__always)
    static func prefillBudget(stepBudget: Double, decodes: Double) -> Double {
        max(stepBudget - decodes, stepBudget / 8)
    }

    /// Steps after the one under way until the prompt is computed.
    @inline(__always)
    static func steps(_ features: borrowing LatencyFeatures, stepBudget: Double) -> Double {
        let budget = prefillBudget(stepBudget: stepBudget, decodes: Double(features.decodingRequests))
        let tokens = Double(features.tokensAhead) + Double(features.uncachedTokens)
        // Not `rounded(.up)`, which is a call into the C library on older instruction sets.
        let steps = tokens / budget
        let whole = Double(Int64(steps))
        return max(1, whole < steps ? whole + 1 : whole)
    }

    /// The depth that belongs to so many steps.
    static func depth(steps: Double, isOthersWaiting: Bool) -> Int {
        if steps <= 1 { return isOthersWaiting ? 1 : 0 }
        if steps <= 4 { return 2 }
        return steps <= 16 ? 3 : 4
    }

    /// The terms of the time to first token.
    @inline(__always)
    static func firstToken(_ features: borrowing LatencyFeatures, steps: Double, stepBudget: Double) -> Vector {
        let decodes = Double(features.decodingRequests)
        let tokens = Double(features.tokensAhead) + Double(features.uncachedTokens)
        let slack = max(0, steps * prefillBudget(stepBudget: stepBudget, decodes: decodes) - tokens)
        let remainder = Double(features.stepRemainderMilliseconds)
        let joining = Double(features.arrivalTokensPerMillisecond) * remainder
        return [
            1, remainder / 10, steps, steps * decodes / 100, steps * Double(features.contextTokens) / 1e5,
            tokens / 1000, (Double(features.attention) + Double(features.attentionAhead)) / 1e7, joining / 1000,
            min(slack, joining) / 1000, steps * Double(features.awaitingRequests) / 10,
        ]
    }

    /// What step constants say of those terms.
    static func firstTokenPrior(_ constants: StepConstants) -> Vector {
        [
            2, 10, constants.base, constants.decode * 100, constants.context * 1e5, constants.token * 1000,
            constants.attention * 1e7, 0, constants.token * 1000, 0,
        ]
    }

    /// The step constants in the coefficients of those terms, kept within reason.
    static func constants(_ coefficients: borrowing Vector) -> StepConstants {
        StepConstants(
            base: min(max(coefficients[2], 0.2), 1e4), decode: min(max(coefficients[3], 0), 1e4) / 100,
            context: min(max(coefficients[4], 0), 1e4) / 1e5, token: min(max(coefficients[5], 0.01), 1e5) / 1000,
            attention: min(max(coefficients[6], 0), 1e5) / 1e7)
    }

    /// The terms of the time per output token, from the load when the first one is out.
    @inline(__always)
    static func output(_ features: borrowing LatencyFeatures, stepBudget: Double) -> Vector {
        let pending = Double(features.tokensAhead)
        let decodes = Double(features.decodingRequests) + 1
        let context = Double(features.contextTokens)
        let rate = Double(features.arrivalTokensPerMillisecond)
        return [
            1, decodes / 100, context / 1e5, min(pending, stepBudget) / 1000, pending / 1e4, rate,
            rate * decodes / 100, rate * context / 1e5, Double(features.awaitingRequests) / 10,
            Double(features.stepRemainderMilliseconds) / 10,
        ]
    }

    /// What step constants say of those terms.
    static func outputPrior(_ constants: StepConstants) -> Vector {
        [
            constants.base, constants.decode * 100, constants.context * 1e5, 0, 0, constants.base * constants.token, 0,
            0, 0, 0,
        ]
    }
}
