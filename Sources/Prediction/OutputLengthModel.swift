/// How many tokens an answer is going to have, by who asks which model.
///
/// For each flow on a model, for each model and for all together it keeps the mean of output lengths and one chosen
/// quantile, both by stochastic approximation (Robbins and Monro, 1951): constant memory, one long answer moves neither
/// by more than a bounded share. An estimate with few answers of its own leans on the wider one. The number of flows is
/// bounded: the one that has been silent longest goes.
public struct OutputLengthModel: Sendable {
    private struct Key: Hashable {
        var flow: String
        var model: String
    }

    /// Answers until an estimate has found its scale; each counts for less than the one before until then.
    private static let settledAfter = 20.0
    /// What is expected of an answer when none has been seen.
    private static let unlearnedTokens = 512.0

    private struct Estimate {
        var mean = 0.0
        var quantile = 0.0
        var answers = 0.0

        mutating func observe(_ tokens: Double, level: Double) {
            answers = min(answers + 1, 1e9)
            guard answers > 1 else {
                mean = tokens
                quantile = tokens
                return
            }
            let pace = max(1 / answers, 0.02)
            mean += pace * (min(tokens, 10 * max(mean, 16)) - mean)
            let step = max(1, 2.5 * pace * max(quantile, mean))
            quantile = max(1, quantile + (tokens > quantile ? level * step : -(1 - level) * step))
        }

        /// This where there is enough of it, `wider` where there is nothing.
        func blended(_ value: Double, with wider: Double) -> Double {
            let weight = min(answers / OutputLengthModel.settledAfter, 1)
            return weight * value + (1 - weight) * wider
        }
    }

    private let level: Double
    private let most: Int
    private var all = Estimate()
    private var models: BoundedTable<String, Estimate>
    private var flows: BoundedTable<Key, Estimate>

    /// Creates a model that has seen nothing.
    ///
    /// - Parameters:
    ///   - quantile: the one that is kept beside the mean, 0...1.
    ///   - mostFlows: how many pairs of flow and model, and how many models, are remembered at most.
    public init(quantile: Double = 0.9, mostFlows: Int = 4096) {
        level = quantile.isFinite ? min(max(quantile, 0.01), 0.99) : 0.9
        most = min(max(1, mostFlows), 1 << 20)
        models = BoundedTable(capacity: most)
        flows = BoundedTable(capacity: most)
    }

    /// How many pairs of flow and model are remembered.
    public var rememberedFlows: Int { flows.count }

    /// Counts a complete answer.
    public mutating func observe(outputTokens: Int, flow: String, model: String) {
        let tokens = Double(min(max(1, outputTokens), 1 << 24))
        all.observe(tokens, level: level)
        models.update(model, default: Estimate()) { $0.observe(tokens, level: level) }
        flows.update(Key(flow: flow, model: model), default: Estimate()) { $0.observe(tokens, level: level) }
    }

    /// The mean number of tokens to expect, at least 1 and at most `maxTokens`.
    public func expectedTokens(flow: String, model: String, maxTokens: Int?) -> Int {
        Self.tokens(value(flow: flow, model: model, \.mean), maxTokens: maxTokens)
    }

    /// The number of tokens that an answer exceeds with the chosen probability only, at least 1 and at most `maxTokens`.
    public func quantileTokens(flow: String, model: String, maxTokens: Int?) -> Int {
        Self.tokens(value(flow: flow, model: model, \.quantile), maxTokens: maxTokens)
    }

    private func value(flow: String, model: String, _ part: KeyPath<Estimate, Double>) -> Double {
        var value = all.answers > 0 ? all[keyPath: part] : Self.unlearnedTokens
        if let estimate = models[model] { value = estimate.blended(estimate[keyPath: part], with: value) }
        if let estimate = flows[Key(flow: flow, model: model)] {
            value = estimate.blended(estimate[keyPath: part], with: value)
        }
        return value
    }

    private static func tokens(_ value: Double, maxTokens: Int?) -> Int {
        let expected = max(1, Int(min(value, Double(1 << 24)).rounded(.up)))
        return max(1, min(expected, maxTokens ?? .max))
    }
}
