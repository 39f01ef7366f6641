/// The terms in which latencies are linear (shared reference `scheduling.md` 4.6), in milliseconds by the step constants
/// that are believed, so that each coefficient of the time to first token is near one.
///
/// Beyond the terms of 4.6 the number of engine steps is counted out, and what is left of the step under way is taken
/// from the shadow of the endpoint's queue (`PrefillBacklog`).
enum LatencyBasis {
    typealias Vector = RelativeLeastSquares.Vector

    /// How deep the queue is in which a request is put; conformal quantiles are kept per depth.
    static let depths = 6

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
    static func depth(_ features: borrowing LatencyFeatures, steps: Double) -> Int {
        if features.lackingTokens > 0 { return 5 }
        if steps <= 1 { return features.awaitingRequests > 0 ? 1 : 0 }
        if steps <= 4 { return 2 }
        return steps <= 16 ? 3 : 4
    }

    /// The terms of the time to first token.
    @inline(__always)
    static func firstToken(
        _ features: borrowing LatencyFeatures, steps: Double, stepBudget: Double, constants: borrowing StepConstants
    ) -> Vector {
        let decodes = Double(features.decodingRequests)
        let tokens = Double(features.tokensAhead) + Double(features.uncachedTokens)
        let slack = max(0, steps * prefillBudget(stepBudget: stepBudget, decodes: decodes) - tokens)
        let remainder = Double(features.stepRemainderMilliseconds)
        let joining = Double(features.arrivalTokensPerMillisecond) * remainder
        let decoding = steps * (constants.decode * decodes + constants.context * Double(features.contextTokens))
        // Half of the requests ahead decode already, on average over the wait; and of those that decode now some end.
        let beginning =
            steps * 0.5
            * (constants.decode * Double(features.awaitingRequests)
                + constants.context * Double(features.waitingContextTokens))
        let ends = 0.5 * steps * constants.endsPerStep
        var extra = 0.0
        if features.lackingTokens > 0 {
            let freed = constants.endsPerStep * (Double(features.contextTokens) + 0.5 * Double(features.lackingTokens))
            let until = Double(features.lackingTokens) / max(freed, 1)
            extra = max(0, until - steps) * (constants.base + constants.token * stepBudget + decoding / steps)
        }
        return [
            1, remainder, steps * constants.base, decoding, constants.token * tokens,
            constants.attention * (Double(features.attention) + Double(features.attentionAhead)),
            constants.token * joining, constants.token * min(slack, joining), beginning - decoding * ends / (1 + ends),
            extra,
        ]
    }

    /// What is believed of the coefficients of those terms at first.
    static let firstTokenPrior: Vector = [2, 1, 1, 1, 1, 1, 0, 1, 1, 1]

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
