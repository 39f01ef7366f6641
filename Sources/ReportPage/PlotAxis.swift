import Basics

/// One axis of a plot: maps values to 0...1 and knows where its ticks are.
package struct PlotAxis {
    let lower: Double
    package let upper: Double
    let isLogarithmic: Bool
    let ticks: [Double]

    /// An axis from zero to a round number at or above `highest`.
    package static func linear(upTo highest: Double, intervals: Int = 5) -> PlotAxis {
        let step = roundStep(max(highest, 1e-6) / Double(intervals))
        let count = max(1, Int((max(highest, 1e-6) / step).rounded(.up)))
        return PlotAxis(
            lower: 0, upper: step * Double(count), isLogarithmic: false, ticks: (0...count).map { step * Double($0) })
    }

    /// An axis over time from zero to exactly `end` seconds, with ticks at whole minutes where there are enough.
    package static func time(upTo end: Double) -> PlotAxis {
        let steps = [1.0, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400]
        let step = steps.first { end / $0 <= 8 } ?? end / 8
        return PlotAxis(
            lower: 0, upper: max(end, 1e-6), isLogarithmic: false,
            ticks: Array(stride(from: 0, through: end, by: step)))
    }

    /// A logarithmic axis that covers both values, with ticks at 1, 2 and 5 times the powers of ten, or at those powers
    /// alone where that would be too many.
    package static func logarithmic(from lowest: Double, to highest: Double, maxTicks: Int) -> PlotAxis {
        let marks = (-1...6).flatMap { power in [1.0, 2, 5].map { $0 * tenToThe(power) } }
        let floor = marks.last { $0 <= max(lowest, 0.1) } ?? 0.1
        let ceiling = marks.first { $0 >= max(highest, floor * 2) } ?? 5e6
        var ticks = marks.filter { $0 >= floor && $0 <= ceiling }
        if ticks.count > maxTicks {
            let powers = (-1...6).map { tenToThe($0) }
            ticks = ticks.filter { powers.contains($0) }
        }
        return PlotAxis(lower: floor, upper: ceiling, isLogarithmic: true, ticks: ticks)
    }

    /// Where `value` lies, from 0 at the lower to 1 at the upper end; values outside are moved to the nearer end.
    func position(of value: Double) -> Double {
        let bounded = min(max(value, lower), upper)
        if isLogarithmic { return naturalLogarithm(bounded / lower) / naturalLogarithm(upper / lower) }
        return (bounded - lower) / (upper - lower)
    }

    private static func roundStep(_ rough: Double) -> Double {
        var power = 1.0
        while power * 10 <= rough { power *= 10 }
        while power > rough { power /= 10 }
        return [1.0, 2, 2.5, 5, 10].map { $0 * power }.first { $0 >= rough * 0.999 } ?? power * 10
    }

    private static func tenToThe(_ power: Int) -> Double {
        (0..<abs(power)).reduce(1.0) { product, _ in power < 0 ? product / 10 : product * 10 }
    }
}
