public import Basics

/// Predicts how long a request will take at each endpoint of a pool, and learns from every outcome.
///
/// The design is that of shared reference `scheduling.md` 4.6: a physical basis, recursive least squares on relative
/// errors, rolling conformal quantiles, forgetting that speeds up when predictions drift. One state per endpoint class, a
/// factor per endpoint. What goes beyond 4.6 is that the queue of each endpoint is followed step by step
/// (`PrefillBacklog`), because the prompts ahead are mostly half done when a request arrives.
///
/// The caller reports what it sends and what it sees; times to first token count from sending:
///
///     predictor.predict(…, now: now)                              // all endpoints, before a pick
///     let features = predictor.features(endpoint: picked, …)      // kept with the request, with the prediction
///     predictor.sent(id, endpoint: picked, features: features, now: now)
///     predictor.observeFirstToken(id, …)                          // or `withdrew` if it left without one
///     predictor.progressed(id, endpoint: picked, …)               // now and then, while it streams
///     predictor.observeOutput(…)                                  // at the end, with features taken at the first token
///
/// All loads are the gateway's own counters before the request itself is reserved. Nonsense is ignored.
public struct LatencyPredictor: Sendable {
    /// No prediction is longer, and no outcome is believed that is, in milliseconds.
    static let longestMilliseconds = 1e7
    /// Ratios of outcome over prediction are taken for at most this, and at least its inverse.
    private static let largestRatio = 100.0

    var trackers: [EndpointTracker]
    var views: [EndpointView]
    var learners: [ClassLearner]
    var models: [ClassModel]
    /// Learns from all classes, for those that have seen nothing yet; idle where there is one class only.
    var pool: ClassLearner
    private var classSizes: [Int]

    /// Creates a predictor that has seen nothing.
    ///
    /// - Parameters:
    ///   - endpointClasses: the class of each endpoint: 0, 1, … for kinds of engine that behave alike.
    ///   - prior: what to believe of step times before the first outcomes; nil for an 8B model on a large accelerator,
    ///     believed less.
    ///   - stepBudgetTokens: what to believe of the tokens per engine step (`max_num_batched_tokens`) at first.
    public init(endpointClasses: [Int], prior: StepTimeModel?, stepBudgetTokens: Int = 2048) {
        let count = max(1, (endpointClasses.max() ?? 0) + 1)
        let constants = StepConstants(
            base: Self.positive(prior?.baseMilliseconds, else: 8),
            decode: Self.positive(prior?.perDecodeMilliseconds, else: 0.02),
            context: Self.positive(prior?.perContextTokenMilliseconds, else: 3e-5),
            token: Self.positive(prior?.perPrefillTokenMilliseconds, else: 0.03),
            attention: Self.positive(prior?.perPrefillTokenMilliseconds, else: 0.03) / 32_768)
        pool = ClassLearner(
            constants, stepBudget: Double(min(max(64, stepBudgetTokens), 1 << 24)), doubt: prior == nil ? 3 : 1)
        learners = Array(repeating: pool, count: count)
        models = Array(repeating: pool.model, count: count)
        trackers = endpointClasses.map { EndpointTracker(classIndex: max(0, $0)) }
        views = trackers.map { EndpointView($0, correction: 1) }
        classSizes = Array(repeating: 0, count: count)
        for tracker in trackers { classSizes[tracker.classIndex] += 1 }
    }

    private static func positive(_ value: Double?, else fallback: Double) -> Double {
        guard let value, value.isFinite, value >= 0 else { return fallback }
        return value
    }

    // MARK: Predicting

    /// Predicts both times for one request at every endpoint.
    ///
    /// The columns are those of the routing table, one entry per endpoint; endpoints beyond the shortest column are left
    /// out. Nothing is allocated.
    public mutating func predict(
        promptTokens: Int, cachedPromptTokens: [Int32], pendingPrefillTokens: [Int32], decodingRequests: [Int32],
        awaitingRequests: [Int32], contextTokens: [Int32], now: Instant, ttftMilliseconds: inout [Float],
        tpotMilliseconds: inout [Float]
    ) {
        let count = min(
            views.count, cachedPromptTokens.count, pendingPrefillTokens.count, decodingRequests.count,
            awaitingRequests.count, contextTokens.count, ttftMilliseconds.count, tpotMilliseconds.count)
        for index in 0..<count {
            rollIfOverdue(index, now: now)
            let features = features(
                of: index, promptTokens: promptTokens, cachedPromptTokens: Int(cachedPromptTokens[index]),
                pendingPrefillTokens: Int(pendingPrefillTokens[index]), decodingRequests: Int(decodingRequests[index]),
                awaitingRequests: Int(awaitingRequests[index]), contextTokens: Int(contextTokens[index]), now: now)
            ttftMilliseconds[index] = Float(self.ttftMilliseconds(at: index, features))
            tpotMilliseconds[index] = Float(self.tpotMilliseconds(at: index, features))
        }
    }

    /// What the latency of a request at an endpoint depends on at this moment.
    public mutating func features(
        endpoint: Int, promptTokens: Int, cachedPromptTokens: Int, pendingPrefillTokens: Int, decodingRequests: Int,
        awaitingRequests: Int, contextTokens: Int, now: Instant
    ) -> LatencyFeatures {
        guard views.indices.contains(endpoint) else { return LatencyFeatures() }
        rollIfOverdue(endpoint, now: now)
        var features = features(
            of: endpoint, promptTokens: promptTokens, cachedPromptTokens: cachedPromptTokens,
            pendingPrefillTokens: pendingPrefillTokens, decodingRequests: decodingRequests,
            awaitingRequests: awaitingRequests, contextTokens: contextTokens, now: now)
        let model = models[trackers[endpoint].classIndex]
        features.ttftP90Factor = model.ttftP90Factors[depth(features, model)]
        features.tpotP90Factor = model.tpotP90Factor
        return features
    }

    /// How long a request of a single token would wait for it at an endpoint now, in milliseconds: what the queue there
    /// takes to drain, however long the prompt of the next request is.
    public mutating func queueMilliseconds(
        endpoint: Int, pendingPrefillTokens: Int, decodingRequests: Int, awaitingRequests: Int, contextTokens: Int,
        now: Instant
    ) -> Double {
        guard views.indices.contains(endpoint) else { return 0 }
        rollIfOverdue(endpoint, now: now)
        let features = features(
            of: endpoint, promptTokens: 1, cachedPromptTokens: 0, pendingPrefillTokens: pendingPrefillTokens,
            decodingRequests: decodingRequests, awaitingRequests: awaitingRequests, contextTokens: contextTokens,
            now: now)
        return ttftMilliseconds(at: endpoint, features)
    }

    /// The time to first token, in milliseconds from sending.
    public func ttftMilliseconds(endpoint: Int, _ features: LatencyFeatures) -> Double {
        views.indices.contains(endpoint) ? ttftMilliseconds(at: endpoint, features) : 0
    }

    /// The mean time per output token after the first, in milliseconds, as the load is now.
    public func tpotMilliseconds(endpoint: Int, _ features: LatencyFeatures) -> Double {
        views.indices.contains(endpoint) ? tpotMilliseconds(at: endpoint, features) : 0
    }

    /// The time to first token that is not exceeded with probability `level` (0...1), in milliseconds.
    public func quantile(
        _ level: Double, ttftMilliseconds: Double, endpoint: Int, features: LatencyFeatures
    ) -> Double {
        guard trackers.indices.contains(endpoint) else { return ttftMilliseconds }
        let classIndex = trackers[endpoint].classIndex
        return ttftMilliseconds
            * learners[classIndex].ttftFactor(level, depth: depth(features, models[classIndex]))
    }

    /// How good the predicted times to first token have been at an endpoint lately.
    public func accuracy(endpoint: Int) -> PredictionAccuracy {
        trackers.indices.contains(endpoint) ? trackers[endpoint].ttft.accuracy : AccuracyWindow().accuracy
    }

    /// How good the predicted times per output token have been at an endpoint lately.
    public func outputAccuracy(endpoint: Int) -> PredictionAccuracy {
        trackers.indices.contains(endpoint) ? trackers[endpoint].tpot.accuracy : AccuracyWindow().accuracy
    }

    // MARK: Learning

    /// The first token of a request came `milliseconds` after it was sent.
    ///
    /// - Parameters:
    ///   - features: those with which it was sent.
    ///   - predictedMilliseconds: what was predicted from them then.
    public mutating func observeFirstToken(
        _ id: UInt64, endpoint: Int, features: LatencyFeatures, predictedMilliseconds: Double, milliseconds: Double,
        now: Instant
    ) {
        guard trackers.indices.contains(endpoint) else { return }
        let isKnownMiss = trackers[endpoint].deadlines.remove(id)
        hearMisses(endpoint, now: now)
        trackers[endpoint].backlog.firstToken(
            id, law: trackers[endpoint].law, budget: trackers[endpoint].budget, now: now)
        views[endpoint].take(trackers[endpoint].backlog)
        guard let ratio = Self.ratio(milliseconds, over: predictedMilliseconds) else { return }
        let uncached = Double(features.uncachedTokens)
        trackers[endpoint].note(
            StepBudgetLearner.Prompt(
                sent: now - .milliseconds(milliseconds), uncachedTokens: uncached,
                tokens: Double(features.attention) / uncached + uncached / 2))
        trackers[endpoint].ttft.observe(
            predicted: predictedMilliseconds, outcome: milliseconds, isCovered: ratio <= Double(features.ttftP90Factor))

        let classIndex = trackers[endpoint].classIndex
        let outcome = milliseconds / views[endpoint].correction
        warmUp(classIndex)
        // Steps tell how fast an endpoint is; where none are counted, first tokens have to.
        if !trackers[endpoint].stretches.isCounting {
            correct(endpoint, logError: naturalLogarithm(ratio), now: now)
        }
        if learners.count > 1 {
            pool.observeFirstToken(
                features, outcome: milliseconds, ratio: ratio, isKnownMiss: isKnownMiss, now: now)
        }
        guard isTelling(endpoint, of: classIndex, now: now) else { return }
        learners[classIndex].observeFirstToken(
            features, outcome: outcome, ratio: ratio, isKnownMiss: isKnownMiss, now: now)
        models[classIndex] = learners[classIndex].model
        renewLaw(endpoint, features, now: now)
    }

    /// An answer is complete; from its first token on it took `tpotMilliseconds` per token.
    ///
    /// - Parameters:
    ///   - outputTokens: how many it has.
    ///   - features: those taken when the first token came.
    ///   - predictedMilliseconds: what was predicted from them then.
    public mutating func observeOutput(
        endpoint: Int, features: LatencyFeatures, predictedMilliseconds: Double, tpotMilliseconds: Double,
        outputTokens: Int, now: Instant
    ) {
        guard trackers.indices.contains(endpoint),
            let ratio = Self.ratio(tpotMilliseconds, over: predictedMilliseconds)
        else { return }
        trackers[endpoint].tpot.observe(
            predicted: predictedMilliseconds, outcome: tpotMilliseconds,
            isCovered: ratio <= Double(features.tpotP90Factor))
        let classIndex = trackers[endpoint].classIndex
        let outcome = tpotMilliseconds / views[endpoint].correction
        let tokens = Self.count(outputTokens)
        warmUp(classIndex)
        if learners.count > 1 {
            pool.observeOutput(
                features, outcome: tpotMilliseconds, outputTokens: tokens, ratio: ratio, now: now)
        }
        learners[classIndex].observeOutput(
            features, outcome: outcome, outputTokens: tokens, ratio: ratio, now: now)
        models[classIndex] = learners[classIndex].model
    }

    static func ratio(_ outcome: Double, over prediction: Double) -> Double? {
        guard outcome.isFinite, prediction.isFinite, outcome > 0, prediction > 0, outcome <= longestMilliseconds
        else { return nil }
        return min(max(outcome / prediction, 1 / largestRatio), largestRatio)
    }

    /// Learns how much slower an endpoint is than its class from the error of one belief.
    mutating func correct(_ endpoint: Int, logError: Double, now: Instant) {
        let isClassDrifting = learners[trackers[endpoint].classIndex].isDrifting(now: now)
        trackers[endpoint].observe(logError: logError, isClassDrifting: isClassDrifting, now: now)
        views[endpoint].correction = exponential(trackers[endpoint].logCorrection)
    }

    /// Whether an endpoint teaches something about its class; one that has just become another engine does not.
    func isTelling(_ endpoint: Int, of classIndex: Int, now: Instant) -> Bool {
        classSizes[classIndex] == 1 || !trackers[endpoint].isForeign(now: now)
            || learners[classIndex].isDrifting(now: now)
    }

    /// A class without outcomes of its own begins where the pool is.
    private mutating func warmUp(_ classIndex: Int) {
        guard learners.count > 1, learners[classIndex].samples == 0, pool.samples > 0 else { return }
        learners[classIndex] = pool
        learners[classIndex].doubt()
    }
}

// MARK: - The hot path

extension LatencyPredictor {
    @inline(__always)
    private func ttftMilliseconds(at index: Int, _ features: borrowing LatencyFeatures) -> Double {
        let classIndex = Int(views[index].classIndex)
        let steps = LatencyBasis.steps(features, stepBudget: models[classIndex].stepBudget)
        return views[index].correction * models[classIndex].ttftMilliseconds(features, steps: steps)
    }

    @inline(__always)
    private func tpotMilliseconds(at index: Int, _ features: borrowing LatencyFeatures) -> Double {
        views[index].correction * models[Int(views[index].classIndex)].tpotMilliseconds(features)
    }

    @inline(__always)
    private func features(
        of index: Int, promptTokens: Int, cachedPromptTokens: Int, pendingPrefillTokens: Int, decodingRequests: Int,
        awaitingRequests: Int, contextTokens: Int, now: Instant
    ) -> LatencyFeatures {
        var features = LatencyFeatures()
        let prompt = Self.count(promptTokens)
        let cached = min(Self.count(cachedPromptTokens), prompt)
        let uncached = max(1, prompt - cached)
        features.uncachedTokens = Float(uncached)
        features.attention = Float(uncached * (cached + uncached / 2))
        let decodes = Self.count(decodingRequests)
        let awaiting = Self.count(awaitingRequests)
        let context = max(0, Self.count(contextTokens) - views[index].waitingContextTokens)
        features.decodingRequests = Float(decodes)
        features.awaitingRequests = Float(awaiting)
        features.waitingContextTokens = Float(views[index].waitingContextTokens)
        features.contextTokens = Float(context)
        let pending = Self.count(pendingPrefillTokens) - views[index].computedTokens - views[index].stepTokens
        features.tokensAhead = Float(max(0, pending))
        let lacking = context + Self.count(pendingPrefillTokens) + uncached - views[index].kvRoom
        if lacking > 0 { features.lackingTokens = Float(lacking) }
        features.attentionAhead = Float(views[index].attentionAhead)
        features.arrivalTokensPerMillisecond = Float(
            views[index].arrivals * PrefillBacklog.fading((now - views[index].arrivalsAt).milliseconds))
        let elapsed = max(0, (now - views[index].stepBegan).milliseconds)
        if views[index].stepTokens > 0 {
            features.stepRemainderMilliseconds = Float(
                max(0, views[index].stepMilliseconds - elapsed) / views[index].correction)
        } else if decodes + awaiting > 0 {
            // Steps of decodes alone repeat; what is known of their phase fades.
            let law = models[Int(views[index].classIndex)].constants.law(
                decodingRequests: decodes, contextTokens: context, correction: views[index].correction)
            let steps = elapsed / law.decodeMilliseconds
            let whole = Double(Int64(min(steps, 1e15)))
            let trust = 8 / (8 + views[index].stepsUnseen + whole)
            features.stepRemainderMilliseconds = Float(
                law.decodeMilliseconds / views[index].correction * (trust * (1 - (steps - whole)) + (1 - trust) * 0.5))
        }
        return features
    }

    /// A number of tokens or requests, within what can be meant.
    @inline(__always)
    static func count(_ value: Int) -> Double { Double(min(max(0, value), 1 << 31)) }

    @inline(__always)
    mutating func rollIfOverdue(_ index: Int, now: Instant) {
        guard views[index].remainingTokens > 0,
            (now - views[index].stepBegan).milliseconds > views[index].stepMilliseconds
        else { return }
        roll(index, now: now)
    }

    @inline(never)
    private mutating func roll(_ index: Int, now: Instant) {
        trackers[index].backlog.roll(law: trackers[index].law, budget: trackers[index].budget, now: now)
        views[index].take(trackers[index].backlog)
    }

    mutating func renewLaw(_ endpoint: Int, _ features: LatencyFeatures, now: Instant) {
        trackers[endpoint].stretches.loads(
            decodes: Double(features.decodingRequests), contextTokens: Double(features.contextTokens), now: now)
        trackers[endpoint].law = models[trackers[endpoint].classIndex].constants.law(
            decodingRequests: Double(features.decodingRequests), contextTokens: Double(features.contextTokens),
            correction: views[endpoint].correction)
        trackers[endpoint].budget = LatencyBasis.prefillBudget(
            stepBudget: models[trackers[endpoint].classIndex].stepBudget, decodes: Double(features.decodingRequests))
        trackers[endpoint].law.roomTokens = trackers[endpoint].kvRoom - Double(features.contextTokens)
    }

    func depth(_ features: LatencyFeatures, _ model: borrowing ClassModel) -> Int {
        LatencyBasis.depth(features, steps: LatencyBasis.steps(features, stepBudget: model.stepBudget))
    }
}
