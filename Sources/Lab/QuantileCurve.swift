import Basics

/// A distribution given by some of its quantiles; drawn from by inverting the curve, linear between the points.
struct QuantileCurve {
    /// Pairs of (share of the sample below, value), both ascending, from share 0 to share 1.
    private let points: [(share: Double, value: Double)]

    init(_ points: [(Double, Double)]) { self.points = points.map { (share: $0.0, value: $0.1) } }

    /// The value below which `share` (0...1) of the sample lies.
    func value(at share: Double) -> Double {
        var lower = points[0]
        for upper in points.dropFirst() {
            if share <= upper.share {
                let width = upper.share - lower.share
                let fraction = width > 0 ? (share - lower.share) / width : 1
                return lower.value + fraction * (upper.value - lower.value)
            }
            lower = upper
        }
        return lower.value
    }

    /// A whole number drawn from the distribution, at least 1.
    func draw(using generator: inout SeededGenerator) -> Int { max(1, Int(value(at: generator.unit()).rounded())) }
}
