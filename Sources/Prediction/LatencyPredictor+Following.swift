public import Basics

/// What the caller sees of the endpoints between a prediction and its outcome.
extension LatencyPredictor {
    /// A KV cache fuller or emptier than expected by so many steps' worth of prompts shows that other prompts have been
    /// computed than was thought.
    private static let strangeSteps = 4.0

    /// A request was sent, with the features that it had just before.
    ///
    /// - Parameter showsFirstToken: whether its first token will be seen when it comes, as in answers that stream.
    public mutating func sent(
        _ id: UInt64, endpoint: Int, features: LatencyFeatures, showsFirstToken: Bool = true, now: Instant
    ) {
        guard trackers.indices.contains(endpoint) else { return }
        hearMisses(endpoint, now: now)
        if showsFirstToken {
            let ninetieth = ttftMilliseconds(endpoint: endpoint, features) * Double(features.ttftP90Factor)
            trackers[endpoint].deadlines.sent(
                id, passesAt: now + .milliseconds(min(ninetieth, Self.longestMilliseconds)),
                depth: depth(features, models[trackers[endpoint].classIndex]))
        }
        renewLaw(endpoint, features, now: now)
        let uncached = max(1, Double(features.uncachedTokens))
        trackers[endpoint].backlog.sent(
            id, uncachedTokens: uncached,
            precedingTokens: max(0, Double(features.attention) / uncached - uncached / 2).rounded(),
            isIdle: features.decodingRequests + features.awaitingRequests == 0, law: trackers[endpoint].law,
            budget: trackers[endpoint].budget, now: now)
        views[endpoint].take(trackers[endpoint].backlog)
    }

    /// A request that streams has so many tokens out; not every token after the first needs to be reported.
    ///
    /// - Parameter longestGap: the longest time between two tokens of it since the last report; nil if nobody has looked.
    public mutating func progressed(
        _ id: UInt64, endpoint: Int, outputTokens: Int, longestGap: TimeSpan? = nil, decodingRequests: Int,
        contextTokens: Int, now: Instant
    ) {
        guard trackers.indices.contains(endpoint) else { return }
        hearMisses(endpoint, now: now)
        trackers[endpoint].backlog.tokenSeen(
            law: trackers[endpoint].law, budget: trackers[endpoint].budget, now: now)
        views[endpoint].take(trackers[endpoint].backlog)
        let backlog = trackers[endpoint].backlog
        trackers[endpoint].stretches.loads(
            decodes: Self.count(decodingRequests),
            contextTokens: max(0, Self.count(contextTokens) - backlog.waitingContextTokens), now: now)
        guard
            let stretch = trackers[endpoint].stretches.progressed(
                id, outputTokens: outputTokens, prefillTokens: backlog.totalTokens, attention: backlog.totalAttention,
                shownTokens: backlog.shownTokens, now: now)
        else { return }
        var sample = stretch.sample
        holdToSteps(endpoint, &sample, shownTokens: stretch.shownTokens, now: now)
        let classIndex = trackers[endpoint].classIndex
        let expected = sample.steps * models[classIndex].constants.milliseconds(sample)
        let correction = views[endpoint].correction
        if let ratio = Self.ratio(sample.milliseconds, over: expected * correction) {
            correct(endpoint, logError: naturalLogarithm(ratio), now: now)
        }
        sample.milliseconds /= correction
        if learners.count > 1 { pool.observeSteps(sample) }
        guard isTelling(endpoint, of: classIndex, now: now) else { return }
        learners[classIndex].observeSteps(sample)
        if let longestGap, let prompt = trackers[endpoint].largestPrompt(since: stretch.began) {
            learners[classIndex].observeGap(longestGap.milliseconds / correction, sample, prompt: prompt, now: now)
        }
        models[classIndex] = learners[classIndex].model
    }

    /// Holds the shadow of an endpoint's queue to the steps that were counted: no more prompt tokens can have been computed
    /// in them than they have room for.
    ///
    /// Otherwise a law that is too fast confirms itself in a long queue: the shadow hurries ahead, and what it says was
    /// computed explains how long the steps took.
    private mutating func holdToSteps(
        _ endpoint: Int, _ sample: inout StepSample, shownTokens: Double, now: Instant
    ) {
        let budget = trackers[endpoint].budget
        let most = sample.steps * budget
        guard sample.prefillTokens > most else { return }
        // What first tokens have shown to be done is; when exactly in the stretch a step began nobody knows.
        let guessed = sample.prefillTokens - shownTokens
        if guessed > most + budget {
            trackers[endpoint].backlog.turnBack(guessed - most, law: trackers[endpoint].law, budget: budget, now: now)
            views[endpoint].take(trackers[endpoint].backlog)
        }
        sample.attention *= most / sample.prefillTokens
        sample.prefillTokens = most
    }

    /// An endpoint reported which share of its KV cache is in use.
    ///
    /// - Parameters:
    ///   - kvTokens: how many tokens the cache holds.
    ///   - contextTokens: what the gateway's own counters say at the same moment.
    public mutating func reported(
        endpoint: Int, kvUsage: Double, kvTokens: Int, contextTokens: Int, now: Instant
    ) {
        guard trackers.indices.contains(endpoint), kvTokens > 0, (0...1).contains(kvUsage) else { return }
        hearMisses(endpoint, now: now)
        rollIfOverdue(endpoint, now: now)
        let capacity = Self.count(kvTokens)
        let context = max(0, Self.count(contextTokens) - views[endpoint].waitingContextTokens)
        let room = capacity - (kvUsage * capacity - context - trackers[endpoint].backlog.computedTokens)
        let known = trackers[endpoint].kvRoom
        guard known.isFinite else {
            trackers[endpoint].kvRoom = room
            views[endpoint].kvRoom = room
            return
        }
        // Neither the counters nor the shadow are exact; a difference is put down to both in equal parts.
        trackers[endpoint].kvRoom = known + 0.5 * (room - known)
        views[endpoint].kvRoom = trackers[endpoint].kvRoom
        guard (room - known).magnitude > Self.strangeSteps * models[trackers[endpoint].classIndex].stepBudget else {
            return
        }
        trackers[endpoint].backlog.correct(
            by: known - room, law: trackers[endpoint].law, budget: trackers[endpoint].budget, now: now)
        views[endpoint].take(trackers[endpoint].backlog)
    }

    /// A request left an endpoint without a first token.
    public mutating func withdrew(_ id: UInt64, endpoint: Int, now: Instant) {
        guard trackers.indices.contains(endpoint) else { return }
        _ = trackers[endpoint].deadlines.remove(id)
        trackers[endpoint].backlog.withdrew(id)
        views[endpoint].take(trackers[endpoint].backlog)
    }

    /// An endpoint was started anew: its queue is empty, and nothing special is known of it any more.
    public mutating func restarted(endpoint: Int) {
        guard trackers.indices.contains(endpoint) else { return }
        let classIndex = trackers[endpoint].classIndex
        trackers[endpoint] = EndpointTracker(classIndex: classIndex)
        views[endpoint] = EndpointView(trackers[endpoint], correction: 1)
    }

    /// Tells the class of requests that wait longer than the 0.9 quantile of their predictions: that it did not hold is
    /// certain now, and in a queue that grows the first tokens themselves come too late to steer by.
    mutating func hearMisses(_ endpoint: Int, now: Instant) {
        guard trackers[endpoint].deadlines.hasPassed(now: now) else { return }
        let counts = trackers[endpoint].deadlines.takePassed(now: now)
        let classIndex = trackers[endpoint].classIndex
        if learners.count > 1 { pool.missed(counts) }
        guard isTelling(endpoint, of: classIndex, now: now) else { return }
        learners[classIndex].missed(counts)
        models[classIndex] = learners[classIndex].model
    }
}
