import Basics

/// How much the time that real-time work takes of every step has lately risen within one residence of a batch request.
///
/// A batch request that has been started cannot be recalled without loss, so the room for the next rise is kept free
/// beforehand (shared reference `workloads.md` D.5 step 2, in milliseconds of step time where that counts requests).
struct RiseTracker {
    private static let sampleInterval = TimeSpan.milliseconds(250)
    private static let sampleCount = 240
    private static let samplesPerEvaluation = 4
    private var samples: [Double] = []
    private var next = 0
    private var sampled: Instant?
    private var sinceEvaluation = 0
    /// The quantile of the recent rises, in milliseconds of step time.
    private(set) var reserve = 0.0

    /// Samples at most once per interval and re-evaluates once a second.
    mutating func observe(_ milliseconds: Double, residence: TimeSpan, quantile: Double, now: Instant) {
        if let sampled, now - sampled < Self.sampleInterval { return }
        sampled = now
        if samples.count < Self.sampleCount {
            samples.append(milliseconds)
        } else {
            samples[next] = milliseconds
            next = (next + 1) % Self.sampleCount
        }
        sinceEvaluation += 1
        guard sinceEvaluation >= Self.samplesPerEvaluation else { return }
        sinceEvaluation = 0
        let horizon = Int(min(max(1, residence.seconds / Self.sampleInterval.seconds), Double(Self.sampleCount)))
        reserve = Self.quantileOfRises(in: Array(samples[next...] + samples[..<next]), horizon: horizon, quantile)
    }

    /// The quantile, over all starting points, of the highest later value within `horizon` samples less the value there.
    static func quantileOfRises(in values: [Double], horizon: Int, _ quantile: Double) -> Double {
        guard values.count > 1 else { return 0 }
        // The highest value of each window, by a queue of the candidates for it in falling order.
        var candidates: [Int] = []
        var head = 0
        var rises: [Double] = []
        rises.reserveCapacity(values.count)
        var added = 1
        for start in 0..<(values.count - 1) {
            while added < min(values.count, start + 1 + horizon) {
                while candidates.count > head, values[candidates[candidates.count - 1]] <= values[added] {
                    candidates.removeLast()
                }
                candidates.append(added)
                added += 1
            }
            while candidates[head] <= start { head += 1 }
            rises.append(max(0, values[candidates[head]] - values[start]))
        }
        rises.sort()
        return rises[min(rises.count - 1, Int(min(max(quantile, 0), 1) * Double(rises.count)))]
    }
}
