/// Exact order statistics of a finished sample.
public struct Percentiles: Sendable {
    private let sorted: [Double]

    /// Sorts `values`.
    public init(_ values: [Double]) { sorted = values.sorted() }

    /// The number of values.
    public var count: Int { sorted.count }

    /// The value below which a share `quantile` (0...1) of the sample lies, by linear interpolation; nil if empty.
    public func value(at quantile: Double) -> Double? {
        guard let last = sorted.last else { return nil }
        let position = min(max(quantile, 0), 1) * Double(sorted.count - 1)
        let lower = Int(position)
        guard lower + 1 < sorted.count else { return last }
        let fraction = position - Double(lower)
        return sorted[lower] + fraction * (sorted[lower + 1] - sorted[lower])
    }

    /// The arithmetic mean; nil if empty.
    public var mean: Double? { sorted.isEmpty ? nil : sorted.reduce(0, +) / Double(sorted.count) }
}
