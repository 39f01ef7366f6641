public import Basics

/// What the caller sees of the endpoints between a prediction and its outcome.
extension LatencyPredictor {
    /// A KV cache fuller or emptier than expected by so many steps' worth of prompts shows that other prompts have been
    /// computed than was thought.
    private static let strangeSteps = 4.0

    /// A request was sent, with the features that it had just before.
    public mutating func sent(_ id: UInt64, endpoint: Int, features: LatencyFeatures, now: Instant) {
        guard trackers.indices.contains(endpoint) else { return }
        renewLaw(endpoint, features, now: now)
        let uncached = max(1, Double(features.uncachedTokens))
        trackers[endpoint].backlog.sent(
            id, uncachedTokens: uncached,
            precedingTokens: max(0, Double(features.attention) / uncached - uncached / 2).rounded(),
            isIdle: features.decodingRequests + features.awaitingRequests == 0, law: trackers[endpoint].law,
            budget: budget(features), now: now)
        views[endpoint].take(trackers[endpoint].backlog)
    }

    /// A request that streams has so many tokens out; not every token after the first needs to be reported.
    public mutating func progressed(
        _ id: UInt64, endpoint: Int, outputTokens: Int, decodingRequests: Int, contextTokens: Int, now: Instant
    ) {
        guard trackers.indices.contains(endpoint) else { return }
        trackers[endpoint].backlog.tokenSeen(law: trackers[endpoint].law, budget: stepBudget, now: now)
        views[endpoint].take(trackers[endpoint].backlog)
        let backlog = trackers[endpoint].backlog
        trackers[endpoint].stretches.loads(
            decodes: Self.count(decodingRequests),
            contextTokens: max(0, Self.count(contextTokens) - backlog.waitingContextTokens), now: now)
        guard
            var sample = trackers[endpoint].stretches.progressed(
                id, outputTokens: outputTokens, prefillTokens: backlog.totalTokens, attention: backlog.totalAttention,
                now: now)
        else { return }
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
        models[classIndex] = learners[classIndex].model
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
        guard (room - known).magnitude > Self.strangeSteps * stepBudget else { return }
        trackers[endpoint].backlog.correct(
            by: known - room, law: trackers[endpoint].law, budget: stepBudget, now: now)
        views[endpoint].take(trackers[endpoint].backlog)
    }

    /// A request left an endpoint without a first token.
    public mutating func withdrew(_ id: UInt64, endpoint: Int, now: Instant) {
        guard trackers.indices.contains(endpoint) else { return }
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
}
