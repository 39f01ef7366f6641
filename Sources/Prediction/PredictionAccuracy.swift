/// How good the predictions for an endpoint have been lately.
public struct PredictionAccuracy: Hashable, Sendable {
    /// Outcomes in the window.
    public var count: Int
    /// Mean absolute error relative to the outcome (MAPE), as a share.
    public var meanAbsolutePercentageError: Double
    /// The median of the same, as a share.
    public var medianAbsolutePercentageError: Double
    /// Mean error relative to the outcome, as a share; above zero if predictions are too high.
    public var bias: Double
    /// The share of outcomes at or below the predicted 0.9 quantile.
    public var ninetiethPercentileCoverage: Double
}

/// The latest outcomes of one kind at one endpoint.
struct AccuracyWindow: Sendable {
    private static let size = 256
    private var errors: [Float] = []
    private var covered: [Bool] = []
    private var oldest = 0

    mutating func observe(predicted: Double, outcome: Double, isCovered: Bool) {
        let error = Float(min(max((predicted - outcome) / outcome, -1), 100))
        guard error.isFinite else { return }
        guard errors.count >= Self.size else {
            errors.append(error)
            covered.append(isCovered)
            return
        }
        errors[oldest] = error
        covered[oldest] = isCovered
        oldest = (oldest + 1) % Self.size
    }

    var accuracy: PredictionAccuracy {
        let count = errors.count
        guard count > 0 else {
            return PredictionAccuracy(
                count: 0, meanAbsolutePercentageError: 0, medianAbsolutePercentageError: 0, bias: 0,
                ninetiethPercentileCoverage: 0)
        }
        let magnitudes = errors.map(\.magnitude).sorted()
        let median = (magnitudes[(count - 1) / 2] + magnitudes[count / 2]) / 2
        return PredictionAccuracy(
            count: count, meanAbsolutePercentageError: Double(magnitudes.reduce(0, +)) / Double(count),
            medianAbsolutePercentageError: Double(median), bias: Double(errors.reduce(0, +)) / Double(count),
            ninetiethPercentileCoverage: Double(covered.count(where: { $0 })) / Double(count))
    }
}
