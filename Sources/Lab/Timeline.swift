import Basics

/// What a run carried over time, averaged over bins of equal length.
struct Timeline: Sendable {
    let binSeconds: Double
    /// Requests in flight, integrated over each bin, in request seconds.
    private var realtimeSeconds: [Double] = []
    private var batchSeconds: [Double] = []
    private var updated = Instant.zero
    private let maxBins = 2000

    init(binSeconds: Double) { self.binSeconds = binSeconds }

    /// Real-time requests in flight per bin.
    var realtimeInFlight: [Double] { realtimeSeconds.map { $0 / binSeconds } }

    /// Batch requests in flight per bin.
    var batchInFlight: [Double] { batchSeconds.map { $0 / binSeconds } }

    /// Books the time since the last call, in which so many requests were in flight.
    mutating func advance(to now: Instant, realtimeInFlight: Int, batchInFlight: Int) {
        var from = updated.seconds
        let end = now.seconds
        updated = now
        while from < end {
            let bin = Int(from / binSeconds)
            guard bin < maxBins else { return }
            while realtimeSeconds.count <= bin {
                realtimeSeconds.append(0)
                batchSeconds.append(0)
            }
            let edge = min(end, Double(bin + 1) * binSeconds)
            let span = edge - from
            realtimeSeconds[bin] += span * Double(realtimeInFlight)
            batchSeconds[bin] += span * Double(batchInFlight)
            guard edge > from else { return }
            from = edge
        }
    }
}
