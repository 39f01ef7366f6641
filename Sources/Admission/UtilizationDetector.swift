public import Basics

/// Saturation as the endpoints report it: the mean over endpoints of the larger of waiting requests and KV cache usage,
/// each relative to its threshold. Compatible with llm-d's `utilization-detector`.
///
/// Formula and defaults: shared reference `scheduling.md` 3.5.
public struct UtilizationDetector: Hashable, Sendable {
    /// Waiting requests at which an endpoint is saturated.
    public var queueDepthThreshold: Int
    /// KV cache usage at which an endpoint is saturated, 0 to 1.
    public var kvCacheUtilizationThreshold: Double
    /// Scraped values older than this are stale.
    public var metricsStalenessThreshold: TimeSpan
    /// What stale values mean.
    public var stalePolicy: StalePolicy
    /// By how much of a threshold an endpoint may exceed it before `fitting` drops it.
    public var headroom: Double

    /// Creates a detector with llm-d's defaults.
    public init(
        queueDepthThreshold: Int = 5, kvCacheUtilizationThreshold: Double = 0.8,
        metricsStalenessThreshold: TimeSpan = .milliseconds(200), stalePolicy: StalePolicy = .saturated,
        headroom: Double = 0
    ) {
        self.queueDepthThreshold = queueDepthThreshold
        self.kvCacheUtilizationThreshold = kvCacheUtilizationThreshold
        self.metricsStalenessThreshold = metricsStalenessThreshold
        self.stalePolicy = stalePolicy
        self.headroom = headroom
    }

    /// The saturation of the endpoints in `rows`: 1 or more means saturated; 1 if there are none.
    public func saturation(of columns: EndpointColumns, rows: Range<Int>) -> Double {
        guard !rows.isEmpty else { return 1 }
        var sum = 0.0
        var counted = 0
        for row in rows {
            guard let saturation = saturation(of: columns, row: row) else { continue }
            sum += saturation
            counted += 1
        }
        return counted > 0 ? sum / Double(counted) : 0
    }

    /// The endpoints in `rows` that are within both thresholds plus headroom; all of them if none is.
    ///
    /// Endpoints with stale values stay, unless they count as saturated.
    public func fitting(_ columns: EndpointColumns, rows: Range<Int>) -> [Int] {
        let factor = 1 + max(0, headroom)
        let kept = rows.filter { row in
            if isStale(columns, row) && stalePolicy != .lastKnown { return stalePolicy == .excluded }
            return Double(columns.waitingRequests.at(row) ?? 0) <= Double(queueDepthThreshold) * factor
                && (columns.kvCacheUsage.at(row) ?? 0) <= kvCacheUtilizationThreshold * factor
        }
        return kept.isEmpty ? Array(rows) : kept
    }

    private func isStale(_ columns: EndpointColumns, _ row: Int) -> Bool {
        guard let age = columns.scrapeAge.at(row) ?? nil else { return true }
        return age > metricsStalenessThreshold
    }

    /// nil if the endpoint is left out.
    private func saturation(of columns: EndpointColumns, row: Int) -> Double? {
        if isStale(columns, row) {
            switch stalePolicy {
            case .saturated: return 1
            case .excluded: return nil
            case .lastKnown: if (columns.scrapeAge.at(row) ?? nil) == nil { return nil }
            }
        }
        let queue = Double(columns.waitingRequests.at(row) ?? 0) / Double(max(1, queueDepthThreshold))
        let kv = (columns.kvCacheUsage.at(row) ?? 0) / max(1e-9, kvCacheUtilizationThreshold)
        return max(queue, kv)
    }
}

extension Array {
    /// The element of a row; nil if the column does not reach there.
    func at(_ row: Int) -> Element? { indices.contains(row) ? self[row] : nil }
}
