/// A routing policy in the way of the llm-d router: filters narrow the candidates one after another, scorers grade what
/// is left, the grades are weighted and summed, and a picker chooses.
///
/// The plain description; ``WeightedPipeline`` is its executable form. Rules, formulas and defaults are those of the
/// shared reference `scheduling.md` 1.3 and 1.4, quirks included, so that a configuration moved here routes as before.
public struct WeightedPolicy: Hashable, Sendable {
    /// One filter and the name under which it is reported.
    public struct Filter: Hashable, Sendable {
        /// The name.
        public var name: String
        /// What it keeps.
        public var rule: WeightedFilterRule

        /// Creates a filter.
        public init(_ name: String, _ rule: WeightedFilterRule) {
            self.name = name
            self.rule = rule
        }
    }

    /// One scorer, its weight, and the name under which it is reported.
    public struct Scorer: Hashable, Sendable {
        /// The name.
        public var name: String
        /// How it grades.
        public var rule: WeightedScorerRule
        /// What the grade, clamped to 0...1, is multiplied by.
        public var weight: Double

        /// Creates a scorer.
        public init(_ name: String, _ rule: WeightedScorerRule, weight: Double = 1) {
            self.name = name
            self.rule = rule
            self.weight = weight
        }
    }

    /// The filters, in the order in which they run.
    public var filters: [Filter]
    /// The scorers, in the order in which their grades are added.
    public var scorers: [Scorer]
    /// The picker.
    public var picker: WeightedPicker
    /// How latency predictions become headroom.
    public var headroom: WeightedHeadroom

    /// Creates a policy; without a picker of its own it takes the highest score.
    public init(
        filters: [Filter] = [], scorers: [Scorer] = [], picker: WeightedPicker = WeightedPicker(.maxScore),
        headroom: WeightedHeadroom = WeightedHeadroom()
    ) {
        self.filters = filters
        self.scorers = scorers
        self.picker = picker
        self.headroom = headroom
    }

    /// What the llm-d router does without a configuration: queue 2, KV-cache utilisation 2, prefix cache 3.
    public static let routerDefault = WeightedPolicy(scorers: [
        Scorer("queue-scorer", .queue, weight: 2),
        Scorer("kv-cache-utilization-scorer", .kvCacheUtilization, weight: 2),
        Scorer("prefix-cache-scorer", .prefixCache(WeightedPrefixMatch()), weight: 3),
    ])

    /// The weighted blend that llm-d recommended until August 2026: prefix cache 3, queue 2, KV-cache utilisation 2,
    /// least recently used for prompts that nobody has cached 2.
    public static let prefixBlend = WeightedPolicy(scorers: [
        Scorer("prefix-cache-scorer", .prefixCache(WeightedPrefixMatch()), weight: 3),
        Scorer("queue-scorer", .queue, weight: 2),
        Scorer("kv-cache-utilization-scorer", .kvCacheUtilization, weight: 2),
        Scorer("no-hit-lru-scorer", .noHitLRU(capacity: 1024), weight: 2),
    ])

    /// What llm-d recommends since August 2026, "sticky until saturated": stay where the prompt is cached until the
    /// queue there costs too much, then the fewest tokens.
    public static let stickyTokenLoad = WeightedPolicy(
        filters: [Filter("prefix-cache-affinity-filter", .prefixCacheAffinity(WeightedPrefixAffinity()))],
        scorers: [Scorer("token-load-scorer", .tokenLoad(thresholdTokens: WeightedScorerRule.defaultThresholdTokens))])
}

/// How the final choice is made from the scores.
public struct WeightedPicker: Hashable, Sendable {
    /// The ways of choosing.
    public enum Method: Hashable, Sendable {
        /// The highest score; equals are drawn evenly.
        case maxScore
        /// Any candidate, drawn evenly.
        case random
        /// A candidate with probability in proportion to its score; if all scores are zero, drawn evenly.
        case weightedRandom
    }

    /// The way of choosing.
    public var method: Method
    /// How many endpoints are named, in the order in which to try them.
    public var maxEndpoints: Int

    /// Creates a picker; fewer than one endpoint counts as one.
    public init(_ method: Method, maxEndpoints: Int = 1) {
        self.method = method
        self.maxEndpoints = max(1, maxEndpoints)
    }
}

/// How latency predictions become headroom: the limit that a request names, less what is predicted.
///
/// A request without a limit counts as one with a limit of zero, so that its headroom is the prediction, negated.
public struct WeightedHeadroom: Hashable, Sendable {
    /// Whether the time per output token counts; otherwise its headroom is zero everywhere.
    public var isStreaming: Bool
    /// What limits on the time per output token are multiplied by. Limits on the time to first token are taken as is.
    public var limitFactor: Double

    /// Creates the conversion; the defaults are those of `predicted-latency-producer`.
    public init(isStreaming: Bool = false, limitFactor: Double = 1) {
        self.isStreaming = isStreaming
        self.limitFactor = limitFactor
    }
}
