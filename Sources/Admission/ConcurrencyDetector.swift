/// Saturation by the gateway's own counters: what is in flight relative to what may be. Compatible with llm-d's
/// `concurrency-detector`.
///
/// Formula and defaults: shared reference `scheduling.md` 3.5.
public struct ConcurrencyDetector: Hashable, Sendable {
    /// What is counted.
    public enum Mode: String, Hashable, Sendable, CaseIterable {
        /// Requests in flight.
        case requests
        /// Their tokens.
        case tokens
        /// Whichever is relatively more, endpoint by endpoint.
        case hybrid
    }

    /// What is counted.
    public var mode: Mode
    /// Requests that one endpoint may have in flight.
    public var maxConcurrency: Int
    /// Tokens that one endpoint may have in flight.
    public var maxTokenConcurrency: Int
    /// By how much of a capacity an endpoint may exceed it before `fitting` drops it.
    public var headroom: Double

    /// Creates a detector with llm-d's defaults.
    public init(
        mode: Mode = .requests, maxConcurrency: Int = 100, maxTokenConcurrency: Int = 1_000_000, headroom: Double = 0
    ) {
        self.mode = mode
        self.maxConcurrency = maxConcurrency
        self.maxTokenConcurrency = maxTokenConcurrency
        self.headroom = headroom
    }

    /// The saturation of the endpoints in `rows`: `Σ in flight / Σ capacity`, or, of both, the mean over endpoints of
    /// the larger ratio. 1 or more means saturated; 1 if there are none.
    public func saturation(of columns: EndpointColumns, rows: Range<Int>) -> Double {
        guard !rows.isEmpty else { return 1 }
        var sum = 0.0
        for row in rows {
            switch mode {
            case .requests: sum += requestRatio(columns, row)
            case .tokens: sum += tokenRatio(columns, row)
            case .hybrid: sum += max(requestRatio(columns, row), tokenRatio(columns, row))
            }
        }
        // Capacities are the same everywhere, so that the ratio of sums is the mean of ratios.
        return sum / Double(rows.count)
    }

    /// The endpoints in `rows` that are within their capacity plus headroom; maybe none.
    public func fitting(_ columns: EndpointColumns, rows: Range<Int>) -> [Int] {
        let factor = 1 + max(0, headroom)
        return rows.filter { row in
            (mode == .tokens || requestRatio(columns, row) <= factor)
                && (mode == .requests || tokenRatio(columns, row) <= factor)
        }
    }

    private func requestRatio(_ columns: EndpointColumns, _ row: Int) -> Double {
        Double(columns.requestsInFlight.at(row) ?? 0) / Double(max(1, maxConcurrency))
    }

    private func tokenRatio(_ columns: EndpointColumns, _ row: Int) -> Double {
        Double(columns.tokensInFlight.at(row) ?? 0) / Double(max(1, maxTokenConcurrency))
    }
}
