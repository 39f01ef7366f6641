/// What a filter keeps. Shared reference `scheduling.md` 1.4 and, for the detectors, 3.5.
public enum WeightedFilterRule: Hashable, Sendable {
    /// `label-selector-filter`, `by-label-selector`: endpoints whose labels match.
    case labelSelector(WeightedLabelSelector)
    /// `by-label` and the role filters: endpoints whose label has one of the values.
    case labelValues(label: String, values: [String], keepsUnlabelled: Bool)
    /// `session-affinity-filter`: the endpoint that the session is bound to, if it is a candidate; otherwise all.
    case sessionAffinity(WeightedSessionAffinity)
    /// `endpoint-attribute-filter`: endpoints with a metric on the right side of a threshold.
    case endpointAttribute(WeightedAttributeThreshold)
    /// `utilization-filter`: endpoints under every cap.
    case utilization(caps: [WeightedLoadCap], keepsAllWhenEmpty: Bool)
    /// `prefix-cache-affinity-filter`: endpoints that have the prompt cached, unless their queue costs too much.
    case prefixCacheAffinity(WeightedPrefixAffinity)
    /// `slo-headroom-tier-filter`: endpoints predicted to meet both limits; with this probability the others.
    case headroomTier(negativeTierProbability: Double)
    /// `context-length-aware`: endpoints whose range of prompt lengths (`min-max` in the label) holds this prompt.
    case contextLength(label: String)
    /// `utilization-detector`: endpoints below its thresholds; all if none is.
    case utilizationDetector(WeightedUtilizationDetector)
    /// `concurrency-detector`: endpoints below its capacity; none if none is.
    case concurrencyDetector(WeightedConcurrencyDetector)

    /// The label by which endpoints say for which stages they serve.
    public static let roleLabel = "llm-d.ai/role"

    /// `encode-filter`.
    public static let encodeRole = labelValues(
        label: roleLabel, values: ["encode", "encode-prefill", "encode-prefill-decode"], keepsUnlabelled: false)

    /// `prefill-filter`.
    public static let prefillRole = labelValues(
        label: roleLabel, values: ["prefill", "encode-prefill", "prefill-decode", "both", "encode-prefill-decode"],
        keepsUnlabelled: false)

    /// `decode-filter`, which also keeps endpoints without a role.
    public static let decodeRole = labelValues(
        label: roleLabel, values: ["decode", "prefill-decode", "both", "encode-prefill-decode"], keepsUnlabelled: true)

    /// Whether an endpoint fails it for what it is and not for its load: then waiting does not help.
    var isEligibility: Bool {
        switch self {
        case .labelSelector, .labelValues, .contextLength: true
        default: false
        }
    }
}

/// A Kubernetes label selector; every part must match, and an empty selector matches everything.
public struct WeightedLabelSelector: Hashable, Sendable {
    /// One condition on one label.
    public enum Requirement: Hashable, Sendable {
        /// The label is there and has one of the values.
        case isOneOf(key: String, values: [String])
        /// The label is missing or has another value.
        case isNoneOf(key: String, values: [String])
        /// The label is there.
        case exists(key: String)
        /// The label is missing.
        case isAbsent(key: String)
    }

    /// The conditions.
    public var requirements: [Requirement]

    /// Creates a selector.
    public init(_ requirements: [Requirement] = []) { self.requirements = requirements }

    /// Whether the labels meet every condition.
    public func matches(_ labels: [String: String]) -> Bool {
        requirements.allSatisfy { requirement in
            switch requirement {
            case .isOneOf(let key, let values): labels[key].map(values.contains) ?? false
            case .isNoneOf(let key, let values): labels[key].map { !values.contains($0) } ?? true
            case .exists(let key): labels[key] != nil
            case .isAbsent(let key): labels[key] == nil
            }
        }
    }
}

/// A threshold on a metric that endpoints report.
public struct WeightedAttributeThreshold: Hashable, Sendable {
    /// The comparison that the value must pass.
    public enum Comparison: String, CaseIterable, Hashable, Sendable {
        /// The value is smaller.
        case lessThan = "LessThan"
        /// The value is not larger.
        case lessThanOrEqual = "LessThanOrEqual"
        /// The value is larger.
        case greaterThan = "GreaterThan"
        /// The value is not smaller.
        case greaterThanOrEqual = "GreaterThanOrEqual"
        /// The value is the same.
        case equal = "Equal"
        /// The value is another.
        case notEqual = "NotEqual"
    }

    /// The metric, by its name in ``CandidateTable/attributeNames``.
    public var attribute: String
    /// The comparison of its value with ``value``.
    public var comparison: Comparison
    /// What it is compared with.
    public var value: Double
    /// Whether endpoints that do not report it are kept.
    public var keepsMissing: Bool
    /// Whether all are kept if none passes.
    public var keepsAllWhenEmpty: Bool

    /// Creates a threshold.
    public init(
        attribute: String, _ comparison: Comparison, _ value: Double, keepsMissing: Bool = true,
        keepsAllWhenEmpty: Bool = false
    ) {
        self.attribute = attribute
        self.comparison = comparison
        self.value = value
        self.keepsMissing = keepsMissing
        self.keepsAllWhenEmpty = keepsAllWhenEmpty
    }

    func passes(_ measured: Double) -> Bool {
        switch comparison {
        case .lessThan: measured < value
        case .lessThanOrEqual: measured <= value
        case .greaterThan: measured > value
        case .greaterThanOrEqual: measured >= value
        case .equal: measured == value
        case .notEqual: measured != value
        }
    }
}

/// The most that an endpoint may have of one kind of load; what it does not report counts as zero.
public struct WeightedLoadCap: Hashable, Sendable {
    /// The kinds of load.
    public enum Metric: String, CaseIterable, Hashable, Sendable {
        /// Requests that the gateway has sent and not seen complete.
        case activeRequests = "active-requests"
        /// Requests that the engine says it runs.
        case runningRequests = "running-requests"
        /// Requests that the engine says wait.
        case waitingQueue = "waiting-queue"
        /// The share of the KV cache that the engine says is in use, 0...1.
        case kvCacheUtilization = "kv-cache-utilization"
    }

    /// The kind of load.
    public var metric: Metric
    /// The largest value that passes.
    public var maximum: Double

    /// Creates a cap.
    public init(_ metric: Metric, atMost maximum: Double) {
        self.metric = metric
        self.maximum = maximum
    }
}

/// The parameters of `prefix-cache-affinity-filter`.
public struct WeightedPrefixAffinity: Hashable, Sendable {
    /// Where the time to first token comes from.
    public enum Source: Hashable, Sendable {
        /// The uncached prompt tokens that wait at the endpoint, at this many tokens per second. The request's own
        /// tokens are not part of it.
        case prefillThroughput(tokensPerSecond: Double)
        /// The prediction; endpoints without one count as infinitely slow.
        case predictor
    }

    /// The share of the prompt's blocks that must be cached for an endpoint to be sticky; at most 0 switches it off.
    public var threshold: Double
    /// The probability of keeping everything for this once.
    public var explorationProbability: Double
    /// How many milliseconds later than the best other endpoint the best sticky one may answer; 0: any.
    public var maxPenaltyMilliseconds: Double
    /// Where the time to first token comes from.
    public var source: Source

    /// The prefill speed that llm-d assumes, in tokens per second (a 32B model on two H100).
    public static let defaultTokensPerSecond = 15928.0

    /// Creates the parameters; the defaults are llm-d's.
    public init(
        threshold: Double = 0.8, explorationProbability: Double = 0, maxPenaltyMilliseconds: Double = 18000,
        source: Source = .prefillThroughput(tokensPerSecond: defaultTokensPerSecond)
    ) {
        self.threshold = threshold
        self.explorationProbability = explorationProbability
        self.maxPenaltyMilliseconds = maxPenaltyMilliseconds
        self.source = source
    }
}

/// The parameters of `utilization-detector`.
public struct WeightedUtilizationDetector: Hashable, Sendable {
    /// Waiting requests at which an endpoint is full.
    public var queueDepthThreshold: Int
    /// The share of the KV cache at which an endpoint is full.
    public var kvUsageThreshold: Double
    /// The age beyond which metrics are not believed, in milliseconds; the endpoint then counts as full.
    public var staleAfterMilliseconds: Double
    /// As a filter: how far above the thresholds is still kept, as a share of them.
    public var headroom: Double

    /// Creates the parameters; the defaults are llm-d's.
    public init(
        queueDepthThreshold: Int = 5, kvUsageThreshold: Double = 0.8, staleAfterMilliseconds: Double = 200,
        headroom: Double = 0
    ) {
        self.queueDepthThreshold = queueDepthThreshold
        self.kvUsageThreshold = kvUsageThreshold
        self.staleAfterMilliseconds = staleAfterMilliseconds
        self.headroom = headroom
    }
}

/// The parameters of `concurrency-detector`.
public struct WeightedConcurrencyDetector: Hashable, Sendable {
    /// What is counted.
    public enum Mode: String, CaseIterable, Hashable, Sendable {
        /// Requests in flight.
        case requests
        /// Uncached prompt tokens of requests in flight without a first token.
        case tokens
        /// Both.
        case hybrid
    }

    /// What is counted.
    public var mode: Mode
    /// Requests at which an endpoint is full.
    public var maxRequests: Int
    /// Tokens at which an endpoint is full.
    public var maxTokens: Int
    /// As a filter: how far above capacity is still kept, as a share of it.
    public var headroom: Double

    /// Creates the parameters; the defaults are llm-d's.
    public init(mode: Mode = .requests, maxRequests: Int = 100, maxTokens: Int = 1_000_000, headroom: Double = 0) {
        self.mode = mode
        self.maxRequests = maxRequests
        self.maxTokens = maxTokens
        self.headroom = headroom
    }

    /// Requests below which the filter keeps an endpoint: the capacity with headroom, in whole requests.
    var requestLimit: Double { (Double(maxRequests) * (1 + headroom)).rounded(.towardZero) }

    /// Tokens below which the filter keeps an endpoint, in whole tokens.
    var tokenLimit: Double { (Double(maxTokens) * (1 + headroom)).rounded(.towardZero) }
}
