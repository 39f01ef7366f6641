/// Saturation by what the next request would meet: the share of its TTFT budget that the queue of the best endpoint
/// would eat.
///
/// The budget of a request is its TTFT limit less the time that its prompt takes on an idle endpoint. At 1 and above
/// the queue of every endpoint eats more than that, and the request waits better here, where it is still free to go to
/// whichever endpoint is ready first and others can go before it.
public struct PredictiveDetector: Hashable, Sendable {
    /// The TTFT limit of requests that name none, in milliseconds.
    public var ttftLimitMilliseconds: Double
    /// A budget is at least this share of the limit: a prompt that takes all of it when alone may meet a queue too.
    public var minimumBudgetShare: Double

    /// Creates a detector.
    public init(ttftLimitMilliseconds: Double = 2000, minimumBudgetShare: Double = 0.5) {
        self.ttftLimitMilliseconds = ttftLimitMilliseconds
        self.minimumBudgetShare = minimumBudgetShare
    }

    /// The saturation of the endpoints in `rows`; 1 if there are none, or none with a prediction.
    ///
    /// - Parameter limitMilliseconds: the TTFT limit that the request names.
    public func saturation(
        of columns: EndpointColumns, rows: Range<Int>, limitMilliseconds: Double? = nil
    ) -> Double {
        let limit = max(limitMilliseconds ?? ttftLimitMilliseconds, 1e-3)
        var best: Double?
        for row in rows {
            guard let predicted = columns.predictedTTFTMilliseconds.at(row), predicted.isFinite else { continue }
            let saturation = saturation(
                predictedMilliseconds: predicted, unloadedMilliseconds: columns.unloadedTTFTMilliseconds.at(row) ?? 0,
                limitMilliseconds: limit)
            best = min(best ?? saturation, saturation)
        }
        return best ?? 1
    }

    /// The saturation of one endpoint.
    ///
    /// - Parameters:
    ///   - predictedMilliseconds: the predicted time to first token of the request there.
    ///   - unloadedMilliseconds: the same if nothing else were there.
    ///   - limitMilliseconds: the TTFT limit that the request names.
    public func saturation(
        predictedMilliseconds predicted: Double, unloadedMilliseconds: Double, limitMilliseconds: Double?
    ) -> Double {
        let limit = max(limitMilliseconds ?? ttftLimitMilliseconds, 1e-3)
        let alone = min(max(0, unloadedMilliseconds), predicted)
        return max(0, predicted - alone) / max(limit - alone, limit * minimumBudgetShare)
    }

    /// The endpoints in `rows` whose queue leaves something of the budget; maybe none.
    public func fitting(
        _ columns: EndpointColumns, rows: Range<Int>, limitMilliseconds: Double? = nil
    ) -> [Int] {
        rows.filter { saturation(of: columns, rows: $0..<($0 + 1), limitMilliseconds: limitMilliseconds) < 1 }
    }
}
