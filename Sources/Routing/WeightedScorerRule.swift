/// How a scorer grades a candidate, 1 being best. Shared reference `scheduling.md` 1.4 and 4.4.
public enum WeightedScorerRule: Hashable, Sendable {
    /// `queue-scorer`: (max − q) / (max − min) over waiting requests; 1 if all are equal.
    case queue
    /// `running-requests-size-scorer`: the same over running requests.
    case runningRequests
    /// `kv-cache-utilization-scorer`: 1 − the share of the KV cache in use.
    case kvCacheUtilization
    /// `load-aware-scorer`: 0.5 · (1 − min(q, threshold) / threshold) over waiting requests.
    case loadAware(threshold: Int)
    /// `active-request-scorer`: 1 up to `idleThreshold` requests in flight, else (max − c) / max · `maxBusyScore`.
    case activeRequests(idleThreshold: Int, maxBusyScore: Double)
    /// `token-load-scorer`: 1 − min(1, (waiting uncached tokens + the request's) / threshold).
    case tokenLoad(thresholdTokens: Int)
    /// `prefix-cache-scorer` and `precise-prefix-cache-scorer`: how much of the prompt is cached.
    case prefixCache(WeightedPrefixMatch)
    /// `no-hit-lru-scorer`: 0.5 for all if anyone has a block cached; else by how long ago an endpoint last got such a
    /// request. `capacity` is how many endpoints are remembered.
    case noHitLRU(capacity: Int)
    /// `lora-affinity-scorer`: adapter active 1, room for one more 0.8, waited for 0.6, else 0.
    case loraAffinity
    /// `session-affinity-scorer`: 1 for the endpoint that the session is bound to, else 0.
    case sessionAffinity(WeightedSessionAffinity)
    /// `context-length-aware`: by how tightly the range in the label fits the prompt.
    case contextLength(label: String)
    /// `header-label-affinity-scorer`: 1 where the label has the value of the header, else 0.
    case headerLabelAffinity(header: String, label: String)
    /// `endpoint-attribute-scorer`: a metric, scaled to 0...1.
    case endpointAttribute(WeightedAttributeScale)
    /// `latency-scorer`: by predicted headroom.
    case latency(WeightedLatencyPreference)

    /// The token load at which llm-d grades an endpoint with zero: 128 requests of 32 Ki tokens.
    public static let defaultThresholdTokens = 4_194_304
    /// The queue depth at which `load-aware-scorer` grades with zero.
    public static let defaultQueueThreshold = 128
    /// The label that `context-length-aware` reads.
    public static let defaultContextLengthLabel = "llm-d.ai/context-length-range"
}

/// The parameters of `prefix-cache-scorer`: w · min(1, cached tokens / scale)² + (1 − w) · cached blocks / blocks.
public struct WeightedPrefixMatch: Hashable, Sendable {
    /// `w`, the weight of the length of the match, 0...1.
    public var lengthWeight: Double
    /// The length of a match that counts in full, in tokens.
    public var lengthScaleTokens: Int

    /// Creates the parameters; the defaults are llm-d's.
    public init(lengthWeight: Double = 0, lengthScaleTokens: Int = 8192) {
        self.lengthWeight = lengthWeight
        self.lengthScaleTokens = lengthScaleTokens
    }
}

/// The parameters of `endpoint-attribute-scorer`; endpoints that do not report the metric are graded with zero.
public struct WeightedAttributeScale: Hashable, Sendable {
    /// The metric, by its name in ``CandidateTable/attributeNames``.
    public var attribute: String
    /// Whether the smallest value is best.
    public var lowerIsBetter: Bool
    /// The range that is scaled to 0...1, clamped; nil takes that of the candidates, all equal being 1.
    public var range: ClosedRange<Double>?

    /// Creates the parameters.
    public init(attribute: String, lowerIsBetter: Bool, range: ClosedRange<Double>? = nil) {
        self.attribute = attribute
        self.lowerIsBetter = lowerIsBetter
        self.range = range
    }
}

/// The parameters of `latency-scorer`.
public struct WeightedLatencyPreference: Hashable, Sendable {
    /// Which of the endpoints that meet both limits is best.
    public enum Strategy: String, CaseIterable, Hashable, Sendable {
        /// The one that meets them most narrowly, which keeps slack elsewhere.
        case least
        /// The one with the most to spare.
        case most
    }

    /// The weight of the time to first token.
    public var ttftWeight: Double
    /// The weight of the time per output token.
    public var tpotWeight: Double
    /// Which endpoint with headroom is best; among those without, always the one nearest to its limits.
    public var strategy: Strategy
    /// Without any prediction: the weight of free KV cache.
    public var fallbackKVWeight: Double
    /// Without any prediction: the weight of a short queue.
    public var fallbackQueueWeight: Double
    /// Without any prediction: the weight of the cached share of the prompt.
    public var fallbackPrefixWeight: Double

    /// Creates the parameters; the defaults are llm-d's.
    public init(
        ttftWeight: Double = 0.8, tpotWeight: Double = 0.2, strategy: Strategy = .least, fallbackKVWeight: Double = 1,
        fallbackQueueWeight: Double = 1, fallbackPrefixWeight: Double = 1
    ) {
        self.ttftWeight = ttftWeight
        self.tpotWeight = tpotWeight
        self.strategy = strategy
        self.fallbackKVWeight = fallbackKVWeight
        self.fallbackQueueWeight = fallbackQueueWeight
        self.fallbackPrefixWeight = fallbackPrefixWeight
    }
}
