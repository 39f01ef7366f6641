import Basics

/// What tells how full a pool is. 0 is idle; at 1 and above requests should wait here rather than there.
public enum SaturationDetector: Hashable, Sendable {
    /// By scraped queue depth and KV cache usage.
    case utilization(UtilizationDetector)
    /// By the gateway's own counters.
    case concurrency(ConcurrencyDetector)
    /// By the predicted time to first token.
    case predictive(PredictiveDetector)

    /// The saturation of a pool.
    ///
    /// - Parameters:
    ///   - partitions: rows that do different parts of the work (prefill and decode): the fullest counts. Empty: all
    ///     `count` rows do the same.
    ///   - limitMilliseconds: the TTFT limit of the request in question, for the predictive detector.
    public func saturation(
        of columns: EndpointColumns, count: Int, partitions: [Range<Int>] = [], limitMilliseconds: Double? = nil
    ) -> Double {
        let parts = partitions.isEmpty ? [0..<max(0, count)] : partitions
        return parts.map { rows in
            switch self {
            case .utilization(let detector): detector.saturation(of: columns, rows: rows)
            case .concurrency(let detector): detector.saturation(of: columns, rows: rows)
            case .predictive(let detector):
                detector.saturation(of: columns, rows: rows, limitMilliseconds: limitMilliseconds)
            }
        }.max() ?? 1
    }

    /// The rows of endpoints that may take more.
    public func fitting(_ columns: EndpointColumns, count: Int, limitMilliseconds: Double? = nil) -> [Int] {
        let rows = 0..<max(0, count)
        return switch self {
        case .utilization(let detector): detector.fitting(columns, rows: rows)
        case .concurrency(let detector): detector.fitting(columns, rows: rows)
        case .predictive(let detector): detector.fitting(columns, rows: rows, limitMilliseconds: limitMilliseconds)
        }
    }

    /// What is wrong with the settings, a sentence each.
    var problems: [String] {
        var problems: [String] = []
        func check(_ holds: Bool, _ sentence: String) { if !holds { problems.append(sentence) } }
        switch self {
        case .utilization(let detector):
            check(detector.queueDepthThreshold >= 1, "The queue depth threshold must be at least 1.")
            check(
                detector.kvCacheUtilizationThreshold > 0 && detector.kvCacheUtilizationThreshold <= 1,
                "The KV cache threshold must be more than 0 and at most 1.")
            check(detector.metricsStalenessThreshold > .zero, "The staleness threshold must be more than zero.")
            check(detector.headroom >= 0, "The headroom must not be negative.")
        case .concurrency(let detector):
            check(detector.maxConcurrency >= 1, "The maximum of requests in flight must be at least 1.")
            check(detector.maxTokenConcurrency >= 1, "The maximum of tokens in flight must be at least 1.")
            check(detector.headroom >= 0, "The headroom must not be negative.")
        case .predictive(let detector):
            check(detector.ttftLimitMilliseconds > 0, "The TTFT limit must be more than zero.")
            check(
                detector.minimumBudgetShare > 0 && detector.minimumBudgetShare <= 1,
                "The minimum share of the TTFT budget must be more than 0 and at most 1.")
        }
        return problems
    }
}
