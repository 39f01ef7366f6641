import Basics

/// How much the number of real-time requests in flight has lately risen within one residence of a batch request.
///
/// A batch request that has been started cannot be recalled without loss, so the room for the next rise is kept free
/// beforehand (shared reference `workloads.md` D.5 step 2).
struct RiseTracker {
    private static let sampleInterval = TimeSpan.milliseconds(250)
    private static let sampleCount = 240
    private static let samplesPerEvaluation = 4
    private var samples: [Int] = []
    private var next = 0
    private var sampled: Instant?
    private var sinceEvaluation = 0
    private(set) var reserve = 0

    /// Samples at most once per interval and re-evaluates once a second.
    mutating func observe(realtimeRequests: Int, residence: TimeSpan, quantile: Double, now: Instant) {
        if let sampled, now - sampled < Self.sampleInterval { return }
        sampled = now
        if samples.count < Self.sampleCount {
            samples.append(realtimeRequests)
        } else {
            samples[next] = realtimeRequests
            next = (next + 1) % Self.sampleCount
        }
        sinceEvaluation += 1
        guard sinceEvaluation >= Self.samplesPerEvaluation else { return }
        sinceEvaluation = 0
        let horizon = max(1, Int(residence.seconds / Self.sampleInterval.seconds))
        reserve = Self.quantileOfRises(in: chronological, horizon: horizon, quantile: quantile)
    }

    private var chronological: [Int] { Array(samples[next...] + samples[..<next]) }

    /// The quantile, over all starting points, of the highest later value within `horizon` samples less the value there.
    static func quantileOfRises(in values: [Int], horizon: Int, quantile: Double) -> Int {
        guard values.count > 1 else { return 0 }
        var rises: [Int] = []
        rises.reserveCapacity(values.count)
        for start in 0..<(values.count - 1) {
            var highest = values[start]
            for index in (start + 1)..<min(values.count, start + 1 + horizon) { highest = max(highest, values[index]) }
            rises.append(highest - values[start])
        }
        rises.sort()
        return rises[min(rises.count - 1, Int(quantile * Double(rises.count)))]
    }
}
