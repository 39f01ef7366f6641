import Admission
import Basics
import InferenceAPI
public import Pool
import Prediction
import PrefixIndex
public import Routing

/// Where a real-time request goes.
extension PoolScheduler {
    /// The receipt of a request that asked for one, while it is among the latest.
    public func receipt(of id: UInt64) -> DecisionReceipt? { decisions[id] }

    /// The endpoint for a request, if any can take it now. `table` is then about this request.
    mutating func pick(for entry: HeldRequest, now: Instant) -> EndpointID? {
        consider(entry, now: now)
        isolate(entry, now: now)
        guard
            let choice = router.pick(
                entry.routing, among: table, wantsScores: entry.request.isExplained, now: now),
            mayStart(entry, at: choice.endpoint, now: now)
        else { return nil }
        router.follow(choice, for: entry.routing, now: now)
        compareWithShadow(entry, picked: choice.endpoint, now: now)
        if entry.request.isExplained {
            explain(entry, by: router.policy.name, picked: choice.endpoint, scores: choice.scores, now: now)
        }
        return EndpointID(choice.endpoint)
    }

    /// The name of the policy that is scored beside the live one.
    public var shadowPolicyName: String? { shadow?.policy.name }

    /// Asks the shadow policy what it would have done, and by how much that would have been worse.
    private mutating func compareWithShadow(_ entry: HeldRequest, picked: Int, now: Instant) {
        guard let other = shadow?.pick(entry.routing, among: table, now: now) else { return }
        shadow?.follow(other, for: entry.routing, now: now)
        shadowTally?.note(
            live: picked, shadow: other.endpoint,
            liveCost: cost.cost(of: entry.routing, at: picked, in: table).total,
            shadowCost: cost.cost(of: entry.routing, at: other.endpoint, in: table).total)
    }

    /// Fills the table with what is known of every endpoint for this request, now.
    mutating func consider(_ entry: HeldRequest, now: Instant) {
        considered = entry.request.id
        let blocks = entry.request.promptBlocks
        index.match(text: blocks.hashes, tokens: entry.request.tokenBlocks.hashes, into: &table.cachedBlocks)
        table.promptBlocks = Int32(clamping: blocks.hashes.count)
        for index in endpoints.indices {
            let load = endpoints[index].load
            let model = endpoints[index].capacity.stepTime
            let foreign = endpoints[index].foreignLoad.requests(now: now)
            let cached = cachedPromptTokens(of: entry, at: index, now: now)
            let demand = entry.demand.cached(promptTokens: cached)
            table.isCandidate[index] =
                endpoints[index].isUp
                && endpoints[index].capacity.accepts(demand, beside: load, foreignRequests: foreign)
                && entry.mayUse(EndpointID(index))
            table.cachedPromptTokens[index] = Int32(clamping: cached)
            table.inFlightRequests[index] = Int32(clamping: load.requests + foreign)
            table.decodingRequests[index] = Int32(
                clamping: load.requests - load.requestsAwaitingFirstToken + foreign)
            table.pendingPrefillTokens[index] = Int32(clamping: load.pendingPrefillTokens)
            table.contextTokens[index] = Int32(clamping: load.contextTokens)
            table.reservedKVTokens[index] = Int32(clamping: load.reservedKVTokens)
            table.kvTokens[index] = Int32(clamping: endpoints[index].capacity.kvTokens ?? 0)
            table.prefillTokenMilliseconds[index] = Float(model.perPrefillTokenMilliseconds)
            table.addedStepMilliseconds[index] = Float(
                model.perDecodeMilliseconds + model.perContextTokenMilliseconds * Double(demand.meanContextTokens))
            awaitingRequests[index] = Int32(clamping: load.requestsAwaitingFirstToken)
            table.tightestTPOTLimitMilliseconds[index] = ledgers[index].tightestTPOTLimit
            table.scrapeAgeMilliseconds[index] =
                scrapes[index].map { Float((now - $0).milliseconds) } ?? .infinity
        }
        predictor.predict(
            promptTokens: entry.demand.promptTokens, cachedPromptTokens: table.cachedPromptTokens,
            pendingPrefillTokens: table.pendingPrefillTokens, decodingRequests: table.decodingRequests,
            awaitingRequests: awaitingRequests, contextTokens: table.contextTokens, now: now,
            ttftMilliseconds: &table.predictedTTFTMilliseconds, tpotMilliseconds: &table.predictedTPOTMilliseconds)
    }

    /// The shortest predicted time to first token among the endpoints that a request may go to, and the time per token
    /// there, in milliseconds; nil if there is none.
    mutating func quickestPlace(for entry: HeldRequest, now: Instant) -> (ttft: Float, tpot: Float)? {
        if considered != entry.request.id { consider(entry, now: now) }
        var quickest: (ttft: Float, tpot: Float)?
        for index in endpoints.indices where endpoints[index].isUp && entry.mayUse(EndpointID(index)) {
            let ttft = table.predictedTTFTMilliseconds[index]
            if quickest.map({ ttft < $0.ttft }) ?? true {
                quickest = (ttft, table.predictedTPOTMilliseconds[index])
            }
        }
        return quickest
    }

    /// Whether the pool is free enough for the band of a request. `table` is about the request.
    private mutating func mayStart(_ entry: HeldRequest, at picked: Int, now: Instant) -> Bool {
        let saturation = saturation(for: entry, at: picked, now: now)
        if case .fixed(let ceiling) = room.configuration.usageLimit { return saturation < ceiling }
        var priorities = room.depths.map(\.priority)
        if !priorities.contains(entry.request.priority) { priorities.append(entry.request.priority) }
        priorities.sort(by: >)
        guard let floor = usage.floor(priorities: priorities, saturation: saturation) else { return false }
        return floor <= entry.request.priority
    }

    /// How full the pool is for a request; at 1 and above it waits better here.
    ///
    /// What counts is how long the queue at an endpoint takes to drain, not how long the request's own prompt takes: a long
    /// prompt would never find a place in time otherwise.
    private mutating func saturation(for entry: HeldRequest, at picked: Int, now: Instant) -> Double {
        if case .predictive(let detector) = room.configuration.saturation {
            var least = saturation(of: picked, by: detector, for: entry, now: now)
            for index in endpoints.indices where least >= 1 && index != picked && table.isCandidate[index] {
                least = min(least, saturation(of: index, by: detector, for: entry, now: now))
            }
            return least
        }
        let rows = endpoints.indices.filter { endpoints[$0].isUp }
        return room.configuration.saturation.saturation(
            of: EndpointColumns(
                waitingRequests: rows.map { Int(table.scrapedWaiting[$0]) },
                kvCacheUsage: rows.map { Double(table.scrapedKVUsage[$0]) },
                scrapeAge: rows.map { scrapes[$0].map { now - $0 } },
                requestsInFlight: rows.map { endpoints[$0].load.requests },
                tokensInFlight: rows.map { endpoints[$0].load.contextTokens }), count: rows.count)
    }

    private mutating func saturation(
        of index: Int, by detector: PredictiveDetector, for entry: HeldRequest, now: Instant
    ) -> Double {
        // The step of an idle engine is no queue: counted as one, a request with a shorter limit could never start.
        if table.inFlightRequests[index] == 0 { return 0 }
        let queue = predictor.queueMilliseconds(
            endpoint: index, pendingPrefillTokens: Int(table.pendingPrefillTokens[index]),
            decodingRequests: Int(table.decodingRequests[index]), awaitingRequests: Int(awaitingRequests[index]),
            contextTokens: Int(table.contextTokens[index]), now: now)
        let own =
            Double(table.prefillTokenMilliseconds[index])
            * Double(table.uncachedTokens(of: entry.routing, at: index))
        return detector.saturation(
            predictedMilliseconds: own + queue, unloadedMilliseconds: own,
            limitMilliseconds: entry.request.ttftLimitMilliseconds)
    }

    /// Prompt tokens of a request that an endpoint has cached, as far as is known.
    private mutating func cachedPromptTokens(of entry: HeldRequest, at number: Int, now: Instant) -> Int {
        var tokens = max(
            entry.request.cachedPromptTokens,
            index.calibratedTokens(
                foundTokens(of: entry, blocks: Int(table.cachedBlocks[number]), at: number), endpoint: number))
        // Where the text is known it speaks for itself: a session must not make an uncached prompt look cheap.
        if entry.request.promptBlocks.hashes.isEmpty, let session = entry.request.session,
            let turn = sessions.turn(of: session, now: now),
            turn.endpoint == number, emptied[number].map({ turn.at > $0 }) ?? true
        {
            tokens = max(tokens, turn.tokens)
        }
        return min(tokens, entry.demand.promptTokens)
    }

    /// How many tokens so many blocks of a prompt are, by the kind of blocks that the endpoint is matched by.
    private mutating func foundTokens(of entry: HeldRequest, blocks: Int, at number: Int) -> Int {
        let isExact = index.isPrecise(endpoint: number) && !entry.request.tokenBlocks.hashes.isEmpty
        let prompt = isExact ? entry.request.tokenBlocks : entry.request.promptBlocks
        return prompt.tokens(inBlocks: blocks, promptTokens: entry.demand.promptTokens)
    }

    /// The endpoint will have the prompt of this request cached; returns how near to eviction what it had was.
    mutating func noteRouted(_ entry: HeldRequest, to number: Int) -> Double {
        let blocks = entry.request.promptBlocks
        guard !blocks.hashes.isEmpty else { return 1 }
        return index.insert(
            blocks.hashes, endpoint: number,
            tokensPerBlock: Self.tokensPerBlock(blocks, promptTokens: entry.demand.promptTokens))
    }

    private static func tokensPerBlock(_ blocks: PromptBlocks, promptTokens: Int) -> Double {
        guard blocks.units > 0 else { return 1 }
        return Double(promptTokens) * Double(blocks.unitsPerBlock) / Double(blocks.units)
    }

    // MARK: What engines publish

    /// An endpoint begins or ceases to publish which blocks of tokens it has cached.
    public mutating func followsResidency(of id: EndpointID, _ isFollowed: Bool) {
        index.setPrecise(endpoint: id.index, isFollowed)
    }

    /// An endpoint stored blocks of tokens in its cache.
    public mutating func blocksStored(_ keys: [UInt64], at id: EndpointID) {
        for key in keys { index.store(key, endpoint: id.index) }
    }

    /// An endpoint removed blocks of tokens from its cache.
    public mutating func blocksRemoved(_ keys: [UInt64], at id: EndpointID) {
        for key in keys { index.remove(key, endpoint: id.index) }
    }

    /// An endpoint emptied its cache, or nobody knows any more what is in it.
    public mutating func blocksCleared(at id: EndpointID) { index.clearPrecise(endpoint: id.index) }

    /// What the latency of a request depends on at an endpoint now.
    mutating func latencyFeatures(
        of demand: RequestDemand, cachedTokens: Int, at number: Int, now: Instant
    ) -> LatencyFeatures {
        let load = endpoints[number].load
        let foreign = endpoints[number].foreignLoad.requests(now: now)
        return predictor.features(
            endpoint: number, promptTokens: demand.promptTokens, cachedPromptTokens: cachedTokens,
            pendingPrefillTokens: load.pendingPrefillTokens,
            decodingRequests: load.requests - load.requestsAwaitingFirstToken + foreign,
            awaitingRequests: load.requestsAwaitingFirstToken, contextTokens: load.contextTokens, now: now)
    }

    /// Notes that an answer goes on.
    mutating func predictProgress(
        of id: UInt64, at number: Int, outputTokens: Int, longestGap: TimeSpan?, now: Instant
    ) {
        let load = endpoints[number].load
        let foreign = endpoints[number].foreignLoad.requests(now: now)
        predictor.progressed(
            id, endpoint: number, outputTokens: outputTokens, longestGap: longestGap,
            decodingRequests: load.requests - load.requestsAwaitingFirstToken + foreign,
            contextTokens: load.contextTokens, now: now)
    }

    /// Notes a first token; one that was only assumed teaches nothing.
    mutating func predictFromFirstToken(
        at place: Dictionary<UInt64, HeldRequest>.Index, isSeen: Bool, now: Instant
    ) {
        let entry = held.values[place]
        guard let placement = entry.placement else { return }
        let id = entry.request.id
        let number = placement.endpoint.index
        guard isSeen, entry.request.streams else {
            predictor.withdrew(id, endpoint: number, now: now)
            return
        }
        let milliseconds = (now - placement.started).milliseconds
        predictor.observeFirstToken(
            id, endpoint: number, features: placement.features,
            predictedMilliseconds: placement.predictedTTFTMilliseconds, milliseconds: milliseconds, now: now)
        noteOthersAnswer(entry, at: number, ttftMilliseconds: milliseconds)
        if entry.request.isExplained { decisions.complete(id) { $0.ttftMilliseconds = milliseconds } }
        let features = latencyFeatures(
            of: entry.demand, cachedTokens: placement.cachedPromptTokens, at: number, now: now)
        held.values[place].placement?.output = (
            features, predictor.tpotMilliseconds(endpoint: number, features)
        )
    }

    /// Notes what a complete answer says about the expectations with which its request was placed.
    mutating func learnOutcome(
        of entry: HeldRequest, _ placement: Placement, _ answer: AnswerFacts, outputTokens: Int?, now: Instant
    ) {
        let number = placement.endpoint.index
        let blocks = entry.request.promptBlocks
        if !blocks.hashes.isEmpty {
            // The engine's count of its prompt, where it gives one, is better than an estimate from its text.
            let promptTokens =
                answer.promptTokens.map { min(max(1, $0), Self.promptTokenLimit) } ?? entry.demand.promptTokens
            index.observe(
                endpoint: number,
                predictedTokens: blocks.tokens(inBlocks: placement.cachedBlocks, promptTokens: promptTokens),
                ageShare: placement.ageShare, cachedTokens: answer.cachedPromptTokens, promptTokens: promptTokens)
            if answer.blocks.hashes.count > blocks.hashes.count {
                index.insert(
                    answer.blocks.hashes, endpoint: number,
                    tokensPerBlock: Self.tokensPerBlock(blocks, promptTokens: promptTokens))
            }
        }
        var tpot: Double?
        if let firstToken = placement.firstToken, let outputTokens, outputTokens > 1, entry.request.streams {
            tpot = (now - firstToken).milliseconds / Double(outputTokens - 1)
        }
        if let tpot, let outputTokens, let output = placement.output, entry.request.isOneSequence {
            predictor.observeOutput(
                endpoint: number, features: output.features, predictedMilliseconds: output.predictedTPOTMilliseconds,
                tpotMilliseconds: tpot, outputTokens: outputTokens, now: now)
        }
        guard entry.request.isExplained else { return }
        decisions.complete(entry.request.id) { outcome in
            outcome.cachedPromptTokens = answer.cachedPromptTokens
            outcome.outputTokens = outputTokens
            outcome.tpotMilliseconds = tpot
        }
    }

    /// Keeps a receipt of what decided on a place. `table` is about the request.
    mutating func explain(
        _ entry: HeldRequest, by policy: String, picked: Int, scores: [Int: [String: Float]] = [:], now: Instant
    ) {
        let candidates = table.identities.indices.map { index in
            DecisionReceipt.Candidate(
                endpoint: table.identities[index].name, isCandidate: table.isCandidate[index],
                cost: cost.cost(of: entry.routing, at: index, in: table),
                cachedPromptTokens: Int(table.cachedPromptTokens[index]),
                predictedTTFTMilliseconds: table.predictedTTFTMilliseconds[index],
                predictedTPOTMilliseconds: table.predictedTPOTMilliseconds[index],
                scores: scores[index] ?? [:])
        }
        decisions.note(
            entry.request.id,
            DecisionReceipt(
                policy: policy, decided: now, waited: now - entry.submitted.time, candidates: candidates, picked: picked
            ))
    }
}
