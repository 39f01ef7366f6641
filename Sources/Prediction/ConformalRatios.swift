import Basics

/// Rolling conformal quantiles of outcome over prediction.
///
/// The q-quantile of the latest ratios, times a prediction, bounds the next outcome with probability q; the level is
/// steered so that the share covered holds over time although traffic changes (Gibbs and Candès, "Adaptive conformal
/// inference under distribution shift", 2021).
struct ConformalRatios: Sendable {
    private static let window = 1000
    /// How far one miss or hit moves a factor, in units of the spread: a narrow distribution needs small corrections.
    ///
    /// In a long queue hundreds of outcomes are on their way before a correction shows; twice this swings there.
    private static let stepSize = 0.02
    /// The logarithm of the 0.9 quantile over the median is taken for at least this. The outcomes of one queue err
    /// together: twenty of them may lie closer than the errors of the next will.
    private static let smallestSpread = 0.05
    /// No factor is moved further than this, in units of the spread.
    private static let (lowest, highest) = (-2.0, 4.0)
    /// Fewer ratios than this say nothing about quantiles.
    private static let fewest = 20
    /// While hardly any ratio has been seen: about the quantiles of a normal error of 15 %, and some more.
    static let unlearned = [1.2, 1.3, 1.5]
    /// The quantiles that are kept ready.
    static let levels = [0.9, 0.95, 0.99]

    private var recent: [Float] = []
    private var oldest = 0
    private var sorted: [Float] = []
    /// How far the factors are moved, in units of the spread.
    private var steered = [0.0, 0.0, 0.0]
    private var spread = 0.2
    private(set) var factors = ConformalRatios.unlearned

    /// Outcomes are awaited that are certain to lie above the 0.9 quantile of their predictions, as more time has passed
    /// already. The ratios are counted when they are known.
    mutating func missed(_ count: Int) {
        for _ in 0..<count { steer(0, isMissed: true) }
        guard sorted.count >= Self.fewest else { return }
        factors[0] = quantile(Self.levels[0]) * exponential(steered[0] * spread)
    }

    /// Counts a ratio.
    ///
    /// - Parameters:
    ///   - usedFactor: the 0.9 quantile at the time of the prediction.
    ///   - isKnownMiss: it has been told by `missed` already that the ratio lies above that.
    mutating func observe(_ ratio: Double, usedFactor: Double, isKnownMiss: Bool = false) {
        guard ratio.isFinite, ratio > 0 else { return }
        for index in Self.levels.indices where !(index == 0 && isKnownMiss) {
            steer(index, isMissed: ratio > (index == 0 ? usedFactor : factors[index]))
        }
        let value = Float(ratio)
        if recent.count < Self.window {
            recent.append(value)
        } else {
            let leaving = recent[oldest]
            recent[oldest] = value
            oldest = (oldest + 1) % Self.window
            sorted.remove(at: position(of: leaving))
        }
        sorted.insert(value, at: position(of: value))
        guard sorted.count >= Self.fewest else { return }
        spread = max(naturalLogarithm(quantile(0.9) / quantile(0.5)), Self.smallestSpread)
        for index in Self.levels.indices {
            factors[index] = quantile(Self.levels[index]) * exponential(steered[index] * spread)
        }
    }

    private mutating func steer(_ index: Int, isMissed: Bool) {
        let change = Self.stepSize * ((isMissed ? 1 : 0) - (1 - Self.levels[index]))
        steered[index] = min(max(steered[index] + change, Self.lowest), Self.highest)
    }

    /// The factor of any quantile: one that is kept ready if it is that, else that of the window.
    func factor(_ level: Double) -> Double {
        if let index = Self.levels.firstIndex(of: level) { return factors[index] }
        return sorted.count >= Self.fewest ? quantile(level) : factors[level > 0.95 ? 2 : level > 0.9 ? 1 : 0]
    }

    private func quantile(_ level: Double) -> Double {
        let rank = min(max(level, 0), 1) * Double(sorted.count + 1) - 1
        let lower = min(max(Int(rank.rounded(.down)), 0), sorted.count - 1)
        let upper = min(lower + 1, sorted.count - 1)
        let fraction = min(max(rank - Double(lower), 0), 1)
        return Double(sorted[lower]) + fraction * Double(sorted[upper] - sorted[lower])
    }

    private func position(of value: Float) -> Int {
        var low = 0
        var high = sorted.count
        while low < high {
            let middle = (low + high) / 2
            if sorted[middle] < value { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
