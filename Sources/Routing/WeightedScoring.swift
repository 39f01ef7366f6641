import Basics
import Pool

/// The scorers at work: each fills `scores` for the candidates, which are clamped, weighted and added to `totals`.
extension WeightedPipeline {
    mutating func score(
        _ request: RoutingRequest, _ table: CandidateTable, now: Instant, into decision: inout WeightedDecision
    ) {
        for row in candidates.indices { totals[row] = 0 }
        if decision.receipt != nil {
            decision.receipt?.scorers = policy.scorers.map(\.name)
            decision.receipt?.weights = policy.scorers.map(\.weight)
            decision.receipt?.candidates = candidates.map { .init(endpoint: EndpointID($0), scores: [], total: 0) }
        }
        if !coldOrders.isEmpty { decision.isCold = candidates.allSatisfy { table.cachedBlocks[$0] <= 0 } }
        for step in scorers.indices {
            grade(step, request, table, now: now, into: &decision)
            let weight = policy.scorers[step].weight
            Self.add(scores, weight: weight, rows: candidates.count, to: &totals)
            guard decision.receipt != nil else { continue }
            for row in candidates.indices {
                decision.receipt?.candidates[row].scores.append(Self.clamped(scores[row]))
            }
        }
        guard decision.receipt != nil else { return }
        for row in candidates.indices { decision.receipt?.candidates[row].total = totals[row] }
    }

    private static func add(_ scores: [Double], weight: Double, rows: Int, to totals: inout [Double]) {
        scores.withUnsafeBufferPointer { scores in
            totals.withUnsafeMutableBufferPointer { totals in
                for row in 0..<min(rows, scores.count, totals.count) { totals[row] += clamped(scores[row]) * weight }
            }
        }
    }

    /// A score within 0...1; what is not a number counts as 0.
    static func clamped(_ score: Double) -> Double { score > 0 ? min(score, 1) : 0 }

    private mutating func grade(
        _ step: Int, _ request: RoutingRequest, _ table: CandidateTable, now: Instant,
        into decision: inout WeightedDecision
    ) {
        switch scorers[step] {
        case .queue: gradeByRange(table.scrapedWaiting)
        case .runningRequests: gradeByRange(table.scrapedRunning)
        case .kvCacheUtilization: grade { 1 - Double(table.scrapedKVUsage[$0]) }
        case .loadAware(let threshold):
            grade { 0.5 * (1 - min(Double(max(0, table.scrapedWaiting[$0])), threshold) / threshold) }
        case .activeRequests(let idle, let maxBusyScore):
            var most: Int32 = 0
            for index in candidates { most = max(most, table.inFlightRequests[index]) }
            grade { index in
                let count = table.inFlightRequests[index]
                return count <= idle ? 1 : Double(most - count) / Double(most) * maxBusyScore
            }
        case .tokenLoad(let threshold):
            grade { index in
                let tokens =
                    Double(table.pendingPrefillTokens[index]) + Double(table.uncachedTokens(of: request, at: index))
                return tokens <= 0 ? 1 : 1 - min(tokens, threshold) / threshold
            }
        case .prefixCache(let match): gradeByPrefix(match, table)
        case .noHitLRU(let slot): gradeByColdOrder(slot, isCold: decision.isCold)
        case .loraAffinity:
            gradeByAdapter(request.adapter, table)
        case .session(let slot):
            let bound = sessions[slot].endpoint(for: request, now: now)
            if let bound, !candidates.contains(bound) { decision.boundEndpointIsAbsent |= 1 << UInt64(slot) }
            grade { $0 == bound ? 1 : 0 }
        case .contextLength(let ranges):
            let tokens = max(0, request.promptTokens)
            grade { ranges[$0].score(tokens) }
        case .headerLabel(let header, let values, let column):
            let wanted = request.headers[header].flatMap { $0.isEmpty ? nil : values[$0] } ?? -2
            grade { column[$0] == wanted ? 1 : 0 }
        case .attribute(let scale): gradeByAttribute(scale, table)
        case .latency(let preference): gradeByLatency(preference, request, table)
        }
    }

    /// Fills the scores of all candidates.
    @inline(__always) mutating func grade(_ score: (Int) -> Double) { Self.fill(&scores, for: candidates, score) }

    /// The loop behind `grade`, over raw memory: it is most of the cost of a pick.
    @inline(__always) private static func fill(
        _ scores: inout [Double], for candidates: [Int], _ score: (Int) -> Double
    ) {
        candidates.withUnsafeBufferPointer { candidates in
            scores.withUnsafeMutableBufferPointer { scores in
                for row in 0..<min(candidates.count, scores.count) { scores[row] = score(candidates[row]) }
            }
        }
    }

    /// (max − value) / (max − min) over the candidates; 1 if all are equal.
    private mutating func gradeByRange(_ column: [Int32]) {
        var (low, high) = (Int32.max, Int32.min)
        for index in candidates {
            low = min(low, column[index])
            high = max(high, column[index])
        }
        guard high > low else { return grade { _ in 1 } }
        let (top, range) = (Double(high), Double(high) - Double(low))
        grade { (top - Double(column[$0])) / range }
    }

    private mutating func gradeByPrefix(_ match: WeightedPrefixMatch, _ table: CandidateTable) {
        guard table.promptBlocks > 0 else { return grade { _ in 0 } }
        guard match.lengthWeight > 0 else { return grade { table.cachedShare(at: $0) } }
        let scale = Double(max(1, match.lengthScaleTokens))
        grade { index in
            let length = min(1, Double(table.cachedPromptTokens[index]) / scale)
            return match.lengthWeight * (length * length) + (1 - match.lengthWeight) * table.cachedShare(at: index)
        }
    }

    /// Endpoints that never got an uncached prompt come first, in the order of the table; then the others, the least
    /// recent first. The place of the latter counts remembered endpoints that are no candidates too.
    private mutating func gradeByColdOrder(_ slot: Int, isCold: Bool) {
        guard isCold else { return grade { _ in 0.5 } }
        guard candidates.count > 1 else { return grade { _ in 1 } }
        let last = Double(candidates.count - 1)
        var unused = 0
        for row in candidates.indices where coldOrders[slot].places[candidates[row]] < 0 {
            scores[row] = 1 - Double(unused) / last
            unused += 1
        }
        for row in candidates.indices {
            let place = coldOrders[slot].places[candidates[row]]
            if place >= 0 { scores[row] = 1 - Double(unused + place) / last }
        }
    }

    private mutating func gradeByAttribute(_ scale: WeightedAttributeScale, _ table: CandidateTable) {
        guard let place = table.attributeNames.firstIndex(of: scale.attribute) else { return grade { _ in 0 } }
        let column = table.attributes[place]
        var (low, high) = (Double.infinity, -Double.infinity)
        if let range = scale.range {
            (low, high) = (range.lowerBound, range.upperBound)
        } else {
            for index in candidates where !column[index].isNaN {
                low = min(low, column[index])
                high = max(high, column[index])
            }
        }
        let span = high - low
        grade { index in
            guard !column[index].isNaN else { return 0 }
            guard high != low else { return 1 }
            let share = min(max((column[index] - low) / span, 0), 1)
            return scale.lowerIsBetter ? 1 - share : share
        }
    }

    /// 1 if the adapter is active, 0.8 if there is room for one more, 0.6 if it is waited for. A request for the base
    /// model names no adapter, so that only room counts.
    private mutating func gradeByAdapter(_ adapter: String?, _ table: CandidateTable) {
        let bit = adapter.map(CandidateTable.Adapters.bit) ?? 0
        let name = adapter ?? ""
        table.adapters.withUnsafeBufferPointer { adapters in
            grade { index in
                if adapters[index].isActive(name, bit: bit) { return 1 }
                if adapters[index].active.count + adapters[index].waiting.count < adapters[index].limit { return 0.8 }
                return adapters[index].isWaiting(name, bit: bit) ? 0.6 : 0
            }
        }
    }
}
