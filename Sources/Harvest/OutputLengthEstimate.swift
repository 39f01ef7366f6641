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
        let observed = Double(min(max(0, outputTokens), 1 << 30))
        guard let current = estimate else {
            estimate = max(1, observed)
            return
        }
        let step = max(1, 0.05 * current)
        estimate = max(1, current + (observed > current ? quantile * step : -(1 - quantile) * step))
    }

    /// The tokens to expect of a request that may generate at most `maxTokens` (nil: unlimited).
    ///
    /// Without observations, `fallback` tokens are expected.
    public func expectedTokens(maxTokens: Int?, fallback: Int = 512) -> Int {
        min(maxTokens ?? .max, estimate.map { Int($0.rounded(.up)) } ?? fallback)
    }
}
