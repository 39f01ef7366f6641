/// Limits less predictions, in milliseconds, for one request.
struct LatencyHeadroom {
    private let ttftLimit: Double
    private let tpotLimit: Double
    private let isStreaming: Bool
    private let limitFactor: Double

    init(_ conversion: WeightedHeadroom, _ request: RoutingRequest) {
        ttftLimit = request.ttftLimitMilliseconds ?? 0
        tpotLimit = (request.tpotLimitMilliseconds ?? 0) * conversion.limitFactor
        isStreaming = conversion.isStreaming
        limitFactor = conversion.limitFactor
    }

    func isPredicted(at index: Int, of table: CandidateTable) -> Bool {
        table.predictedTTFTMilliseconds[index] >= 0
            && (!isStreaming || table.predictedTPOTMilliseconds[index] >= 0)
    }

    func isPositive(at index: Int, of table: CandidateTable) -> Bool {
        ttft(at: index, of: table) >= 0 && tpot(at: index, of: table) >= 0
    }

    func ttft(at index: Int, of table: CandidateTable) -> Double {
        ttftLimit - Double(table.predictedTTFTMilliseconds[index])
    }

    /// The limit is the tighter of the request's own and those of the requests that run there.
    func tpot(at index: Int, of table: CandidateTable) -> Double {
        guard isStreaming else { return 0 }
        let tightest = Double(table.tightestTPOTLimitMilliseconds[index])
        let limit = tightest > 0 ? min(tpotLimit, tightest * limitFactor) : tpotLimit
        return limit - Double(table.predictedTPOTMilliseconds[index])
    }
}

/// What `latency-scorer` knows of one candidate.
struct WeightedLatencyRow: Sendable {
    /// Groups of candidates, the best first. Only the best group that has members is graded; all others score zero.
    enum Group: Int8, Comparable {
        /// Meets both limits; candidates without a prediction count as meeting them exactly.
        case meetsBoth
        /// Misses a limit but has nothing in flight.
        case idle
        case missesTPOT
        case missesTTFT
        case missesBoth

        static func < (left: Group, right: Group) -> Bool { left.rawValue < right.rawValue }
    }

    var group = Group.meetsBoth
    /// How far the predictions are from the limits, on either side; 0 without a prediction.
    var ttftDistance = 0.0
    var tpotDistance = 0.0
}

/// `latency-scorer`. Shared reference `scheduling.md` 4.4.
extension WeightedPipeline {
    mutating func gradeByLatency(
        _ preference: WeightedLatencyPreference, _ request: RoutingRequest, _ table: CandidateTable
    ) {
        guard let best = readLatencies(LatencyHeadroom(policy.headroom, request), table) else {
            return gradeWithoutPredictions(preference, table)
        }
        var (ttft, tpot) = (ValueRange(), ValueRange())
        for row in candidates.indices where latencies[row].group == best {
            ttft.include(latencies[row].ttftDistance)
            tpot.include(latencies[row].tpotDistance)
        }
        var (ttftShare, tpotShare) = preference.shares
        if !ttft.isWide, tpot.isWide {
            (ttftShare, tpotShare) = (0, 1)
        } else if ttft.isWide, !tpot.isWide {
            (ttftShare, tpotShare) = (1, 0)
        }
        let prefersMost = preference.strategy == .most && best == .meetsBoth
        for row in candidates.indices {
            guard latencies[row].group == best else {
                scores[row] = 0
                continue
            }
            let combined =
                ttftShare * ttft.normalized(latencies[row].ttftDistance)
                + tpotShare * tpot.normalized(latencies[row].tpotDistance)
            // Whole hundredths from 1 to 101; the last is clamped later.
            let hundredths = ((prefersMost ? combined : 1 - combined) * 100).rounded(.towardZero) + 1
            scores[row] = hundredths / 100
        }
    }

    /// Fills `latencies` for the candidates.
    ///
    /// - Returns: the best group that has members; nil if there is no prediction at all.
    private mutating func readLatencies(
        _ headroom: LatencyHeadroom, _ table: CandidateTable
    ) -> WeightedLatencyRow.Group? {
        var best = WeightedLatencyRow.Group.missesBoth
        var arePredicted = false
        for (row, index) in candidates.enumerated() {
            var latency = WeightedLatencyRow()
            if headroom.isPredicted(at: index, of: table) {
                arePredicted = true
                let (ttft, tpot) = (headroom.ttft(at: index, of: table), headroom.tpot(at: index, of: table))
                latency.ttftDistance = abs(ttft)
                latency.tpotDistance = abs(tpot)
                if ttft < 0 || tpot < 0 {
                    if table.inFlightRequests[index] == 0 {
                        latency.group = .idle
                    } else if ttft >= 0 {
                        latency.group = .missesTPOT
                    } else {
                        latency.group = tpot >= 0 ? .missesTTFT : .missesBoth
                    }
                }
            }
            latencies[row] = latency
            best = min(best, latency.group)
        }
        return arePredicted ? best : nil
    }

    private mutating func gradeWithoutPredictions(_ preference: WeightedLatencyPreference, _ table: CandidateTable) {
        var (kv, queue, prefix) = (
            preference.fallbackKVWeight, preference.fallbackQueueWeight, preference.fallbackPrefixWeight
        )
        let sum = kv + queue + prefix
        (kv, queue, prefix) = sum > 0 ? (kv / sum, queue / sum, prefix / sum) : (1, 0, 0)
        var longest: Int32 = 0
        for index in candidates { longest = max(longest, table.scrapedWaiting[index]) }
        let range = Double(longest)
        grade { index in
            let room = longest > 0 ? (range - Double(table.scrapedWaiting[index])) / range : 1
            let free = 1 - Double(table.scrapedKVUsage[index])
            return ((kv * free + queue * room + prefix * table.cachedShare(at: index)) * 100).rounded() / 100
        }
    }
}

extension WeightedLatencyPreference {
    /// The two weights as shares of their sum; all to the time to first token if they have none.
    fileprivate var shares: (ttft: Double, tpot: Double) {
        let sum = ttftWeight + tpotWeight
        return sum > 0 ? (ttftWeight / sum, tpotWeight / sum) : (1, 0)
    }
}

/// The smallest and the largest of some values.
private struct ValueRange {
    private var low = Double.greatestFiniteMagnitude
    private var high = -Double.greatestFiniteMagnitude

    mutating func include(_ value: Double) {
        low = min(low, value)
        high = max(high, value)
    }

    /// Whether the values differ by more than rounding.
    var isWide: Bool { high - low > 1e-9 }

    /// Where in the range a value lies, 0...1; the middle of a range without width.
    func normalized(_ value: Double) -> Double { isWide ? (value - low) / (high - low) : 0.5 }
}
