import Basics

/// Watches, while the trace lasts, how full the pool is, and how far a gate's own signal goes beyond its threshold.
struct GateWatch: Sendable {
    let signal: GateSignal
    /// The gate closes at this level of its signal.
    let threshold: Double
    private(set) var saturation = LevelWatch(threshold: 0)
    private(set) var ownLevel: LevelWatch

    init(signal: GateSignal, threshold: Double) {
        self.signal = signal
        self.threshold = threshold
        ownLevel = LevelWatch(threshold: threshold)
    }

    /// Looks at the pool, whose levels hold from `now` to the next look.
    mutating func observe(saturation level: Double, own: Double, now: Instant) {
        saturation.observe(level, now: now)
        ownLevel.observe(own, now: now)
    }
}

/// A level over time: its mean, quantiles and peak, each weighted by how long it held.
struct LevelWatch: Sendable {
    private static let binWidth = 0.005
    private let threshold: Double
    private var level = 0.0
    private var updated = Instant.zero
    /// By level in bins; most of them are empty.
    private var secondsAtLevel: [Int: Double] = [:]
    private var levelSeconds = 0.0
    private var excessSeconds = 0.0
    private var secondsAbove = 0.0
    private var seconds = 0.0
    /// The highest level that held for any time.
    private(set) var peak = 0.0

    init(threshold: Double) { self.threshold = threshold }

    mutating func observe(_ next: Double, now: Instant) {
        let span = (now - updated).seconds
        if span > 0 {
            seconds += span
            levelSeconds += span * level
            excessSeconds += span * max(0, level - threshold)
            if level > threshold { secondsAbove += span }
            secondsAtLevel[Int((level / Self.binWidth).rounded()), default: 0] += span
            peak = max(peak, level)
            updated = now
        }
        level = next
    }

    /// The mean level.
    var mean: Double { seconds > 0 ? levelSeconds / seconds : 0 }

    /// By how much the level was above the threshold, averaged over all the time.
    var meanExcess: Double { seconds > 0 ? excessSeconds / seconds : 0 }

    /// The share of the time above the threshold.
    var shareAbove: Double { seconds > 0 ? secondsAbove / seconds : 0 }

    /// By how much the highest level was above the threshold.
    var peakExcess: Double { max(0, peak - threshold) }

    /// The level that held or was below for this share of the time, to 0.005.
    func value(at share: Double) -> Double {
        var passed = 0.0
        for (bin, span) in secondsAtLevel.sorted(by: { $0.key < $1.key }) {
            passed += span
            if passed >= share * seconds { return min(peak, Double(bin) * Self.binWidth) }
        }
        return peak
    }
}
