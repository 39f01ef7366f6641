import Basics

/// The filters at work: each narrows `candidates`.
extension WeightedPipeline {
    /// Runs one filter.
    ///
    /// - Returns: the bit of a session step whose bound endpoint is not among the candidates; otherwise 0.
    mutating func filter(
        _ step: Int, _ request: RoutingRequest, _ table: CandidateTable, now: Instant,
        using generator: inout SeededGenerator
    ) -> UInt64 {
        switch filters[step] {
        case .mask(let mask): keep { mask[$0] }
        case .contextLength(let ranges):
            let tokens = max(0, request.promptTokens)
            keep { ranges[$0].admits(tokens) }
        case .session(let slot):
            guard let bound = sessions[slot].endpoint(for: request, now: now) else { return 0 }
            guard candidates.contains(bound) else { return 1 << UInt64(slot) }
            keep { $0 == bound }
        case .attribute(let threshold):
            let column = table.attributeNames.firstIndex(of: threshold.attribute).map { table.attributes[$0] }
            keep(allWhenEmpty: threshold.keepsAllWhenEmpty) { index in
                guard let value = column?[index], !value.isNaN else { return threshold.keepsMissing }
                return threshold.passes(value)
            }
        case .utilization(let caps, let keepsAll):
            keep(allWhenEmpty: keepsAll) { index in caps.allSatisfy { $0.admits(index, of: table) } }
        case .prefixCacheAffinity(let affinity): keepSticky(affinity, table, using: &generator)
        case .headroomTier(let probability):
            keepTier(negativeTierProbability: probability, request, table, using: &generator)
        case .utilizationDetector(let detector):
            let queueLimit = Double(detector.queueDepthThreshold) * (1 + detector.headroom)
            let usageLimit = detector.kvUsageThreshold * (1 + detector.headroom)
            keep(allWhenEmpty: true) { index in
                Double(table.scrapeAgeMilliseconds[index]) <= detector.staleAfterMilliseconds
                    && Double(table.scrapedWaiting[index]) < queueLimit
                    && Double(table.scrapedKVUsage[index]) < usageLimit
            }
        case .concurrencyDetector(let detector):
            let (requestLimit, tokenLimit) = (detector.requestLimit, detector.tokenLimit)
            let (countsRequests, countsTokens) = (detector.mode != .tokens, detector.mode != .requests)
            keep { index in
                (!countsRequests || Double(table.inFlightRequests[index]) < requestLimit)
                    && (!countsTokens || Double(table.pendingPrefillTokens[index]) < tokenLimit)
            }
        }
        return 0
    }

    /// Keeps the candidates that pass; with `allWhenEmpty`, all of them if none does.
    @inline(__always) private mutating func keep(allWhenEmpty: Bool = false, where passes: (Int) -> Bool) {
        if allWhenEmpty, !candidates.contains(where: passes) { return }
        let kept = candidates.withUnsafeMutableBufferPointer { candidates in
            var kept = 0
            for row in candidates.indices {
                let index = candidates[row]
                // Written whether kept or not, and overwritten in the latter case: a branch here would be a coin toss.
                candidates[kept] = index
                kept += passes(index) ? 1 : 0
            }
            return kept
        }
        candidates.removeLast(candidates.count - kept)
    }

    private mutating func keepSticky(
        _ affinity: WeightedPrefixAffinity, _ table: CandidateTable, using generator: inout SeededGenerator
    ) {
        guard candidates.count > 1, affinity.threshold > 0 else { return }
        if affinity.explorationProbability > 0, generator.unit() < affinity.explorationProbability { return }
        var (bestSticky, bestOther) = (Double.greatestFiniteMagnitude, Double.greatestFiniteMagnitude)
        var (sticky, others) = (0, 0)
        for index in candidates {
            let time = affinity.source.ttftMilliseconds(at: index, of: table)
            if table.cachedShare(at: index) >= affinity.threshold {
                sticky += 1
                bestSticky = min(bestSticky, time)
            } else {
                others += 1
                bestOther = min(bestOther, time)
            }
        }
        guard sticky > 0 else { return }
        if affinity.maxPenaltyMilliseconds > 0, others > 0, bestSticky - bestOther > affinity.maxPenaltyMilliseconds {
            return
        }
        keep { table.cachedShare(at: $0) >= affinity.threshold }
    }

    private mutating func keepTier(
        negativeTierProbability: Double, _ request: RoutingRequest, _ table: CandidateTable,
        using generator: inout SeededGenerator
    ) {
        guard candidates.count > 1 else { return }
        let headroom = LatencyHeadroom(policy.headroom, request)
        var (positive, predicted) = (0, 0)
        for index in candidates where headroom.isPredicted(at: index, of: table) {
            predicted += 1
            if headroom.isPositive(at: index, of: table) { positive += 1 }
        }
        guard predicted > 0, positive > 0, positive < candidates.count else { return }
        let wantsPositive = generator.unit() >= negativeTierProbability
        keep { index in
            wantsPositive
                == (headroom.isPredicted(at: index, of: table) && headroom.isPositive(at: index, of: table))
        }
    }
}

extension CandidateTable {
    /// The share of the prompt's blocks that an endpoint has cached; 0 for a prompt without blocks.
    func cachedShare(at index: Int) -> Double {
        promptBlocks > 0 ? Double(cachedBlocks[index]) / Double(promptBlocks) : 0
    }
}

extension WeightedPrefixAffinity.Source {
    /// The time to first token at an endpoint, in milliseconds.
    fileprivate func ttftMilliseconds(at index: Int, of table: CandidateTable) -> Double {
        switch self {
        case .prefillThroughput(let tokensPerSecond):
            return Double(table.pendingPrefillTokens[index]) / tokensPerSecond * 1000
        case .predictor:
            let predicted = table.predictedTTFTMilliseconds[index]
            return predicted >= 0 ? Double(predicted) : .greatestFiniteMagnitude
        }
    }
}

extension WeightedLoadCap {
    /// Whether an endpoint is under the cap.
    fileprivate func admits(_ index: Int, of table: CandidateTable) -> Bool {
        let load =
            switch metric {
            case .activeRequests: Double(table.inFlightRequests[index])
            case .runningRequests: Double(table.scrapedRunning[index])
            case .waitingQueue: Double(table.scrapedWaiting[index])
            case .kvCacheUtilization: Double(table.scrapedKVUsage[index])
            }
        return load <= maximum
    }
}
