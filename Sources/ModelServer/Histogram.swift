/// A Prometheus histogram.
struct Histogram: Sendable {
    let bounds: [Double]
    private var counts: [Int]
    private var sum = 0.0
    private var count = 0

    init(bounds: [Double]) {
        self.bounds = bounds
        counts = Array(repeating: 0, count: bounds.count)
    }

    mutating func observe(_ value: Double) {
        count += 1
        sum += value
        if let bucket = bounds.firstIndex(where: { value <= $0 }) { counts[bucket] += 1 }
    }

    /// Appends the family in the text format, with `labels` (`a="b",c="d"`) on each series.
    func append(to text: inout String, name: String, help: String, labels: String) {
        text += "# HELP \(name) \(help)\n# TYPE \(name) histogram\n"
        var cumulative = 0
        for (bound, bucket) in zip(bounds, counts) {
            cumulative += bucket
            text += "\(name)_bucket{\(labels),le=\"\(bound)\"} \(cumulative)\n"
        }
        text += "\(name)_bucket{\(labels),le=\"+Inf\"} \(count)\n"
        text += "\(name)_sum{\(labels)} \(sum)\n\(name)_count{\(labels)} \(count)\n"
    }

    /// 1, 2, 5, 10, 20, 50 ... up to `limit`, for counts of tokens.
    static func tokenBounds(upTo limit: Int) -> [Double] {
        var bounds: [Double] = []
        var decade = 1
        while decade <= limit {
            for factor in [1, 2, 5] where factor * decade <= limit { bounds.append(Double(factor * decade)) }
            decade *= 10
        }
        return bounds
    }
}
