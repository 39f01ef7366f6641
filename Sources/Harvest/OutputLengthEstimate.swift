/// A running estimate of one quantile of output lengths, in tokens.
///
/// Stochastic approximation (Robbins and Monro, 1951): each observation above the estimate raises it by `quantile` steps,
/// each one below lowers it by `1 - quantile` steps; steps are relative, so the estimate finds its scale quickly.
public struct OutputLengthEstimate: Sendable {
    private let quantile: Double
    private var estimate: Double?

    /// Creates an estimate of the `quantile` (0...1) without any observation yet.
    public init(quantile: Double) { self.quantile = quantile }

    /// Counts one finished request.
    public mutating func observe(outputTokens: Int) {
        let observed = Double(outputTokens)
        guard let current = estimate else {
            estimate = max(1, observed)
            return
        }
        let step = max(1, 0.05 * current)
        estimate = max(1, current + (observed > current ? quantile * step : -(1 - quantile) * step))
    }

    /// The tokens to expect of a request that may generate at most `maxTokens` (nil: unlimited).
    ///
    /// Without observations the limit is taken at its word, or `fallback` if there is none.
    public func expectedTokens(maxTokens: Int?, fallback: Int = 256) -> Int {
        guard let estimate else { return maxTokens ?? fallback }
        return min(maxTokens ?? .max, Int(estimate.rounded(.up)))
    }
}
