import Basics

/// Learns how many tokens an engine computes in a step at most (`max_num_batched_tokens`), which no metric tells: vLLM's
/// `vllm:iteration_tokens_total` counts a prompt as a whole in the step of its first token.
///
/// The longest gap between two tokens of an answer is the longest step in that stretch of it. If a prompt that was sent and
/// computed within the stretch is larger than what such a step holds by the step constants, it took several steps, and the
/// longest of them was full.
struct StepBudgetLearner: Sendable {
    /// A prompt that was computed in a stretch.
    struct Prompt: Sendable {
        var sent: Instant
        var uncachedTokens: Double
        /// Its tokens, those in the cache included.
        var tokens: Double
    }

    /// The median of so many full steps is believed, so that what a network adds to some gaps does not count.
    private static let samples = 31
    /// A prompt has to be this much larger than the step to have taken several.
    private static let clearlyLarger = 1.5
    /// A belief this near needs no other, and a power of two this near is what somebody has configured: steps vary by a
    /// few percent, and the constants that they are judged by are wrong by more while the budget is.
    private static let tolerance = 1.25
    private static let range = 64.0...16_777_216.0

    private(set) var tokens: Double
    private var recent: [Double] = []

    init(tokens: Double) { self.tokens = tokens }

    /// Forgets the steps seen lately: the constants that they were judged by were wrong.
    mutating func startAnew() { recent.removeAll(keepingCapacity: true) }

    /// Learns from the longest gap in a stretch; true if the budget is believed to be another one now.
    ///
    /// - Parameters:
    ///   - milliseconds: the gap.
    ///   - prompt: the largest prompt that was computed in the stretch from its first token to its last.
    mutating func observe(
        gap milliseconds: Double, decodes: Double, contextTokens: Double, prompt: Prompt, constants: StepConstants
    ) -> Bool {
        let prefill =
            milliseconds - constants.base - constants.decode * decodes - constants.context * contextTokens
        // The longest step is the last full one: of x tokens, each of which counts those before it, `length - x / 2`.
        let linear = constants.token + constants.attention * prompt.tokens
        let root = linear * linear - 2 * constants.attention * prefill
        guard prefill > 0, root >= 0, linear > 0 else { return false }
        let step = 2 * prefill / (linear + root.squareRoot())
        guard step.isFinite, step * Self.clearlyLarger < prompt.uncachedTokens else { return false }
        recent.append(step + decodes)
        guard recent.count >= Self.samples else { return false }
        let median = recent.sorted()[Self.samples / 2]
        startAnew()
        guard median > tokens * Self.tolerance || median < tokens / Self.tolerance else { return false }
        let power = exponential((naturalLogarithm(median) / naturalLogarithm(2)).rounded() * naturalLogarithm(2))
            .rounded()
        let isNear = median < power * Self.tolerance && median * Self.tolerance > power
        tokens = min(max(isNear ? power : median.rounded(), Self.range.lowerBound), Self.range.upperBound)
        return true
    }
}
