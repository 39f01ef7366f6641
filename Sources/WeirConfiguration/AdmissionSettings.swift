public import Basics

extension Configuration {
    /// When requests wait in the gateway, how many, and in which order they leave.
    public struct Admission: Hashable, Sendable {
        /// Most requests of all kinds in flight on one endpoint.
        public var maxConcurrentRequestsPerEndpoint = 256
        /// Bounds on waiting and the order of leaving.
        public var queue = Queue()
        /// Bounds on waiting in all bands together.
        public var total = Total()
        /// Priorities that wait in another way.
        public var bands: [Band] = []
        /// What an output token costs in input tokens.
        public var outputTokenWeight = 2.0
        /// Shares of tenants relative to 1, by name.
        public var tenantWeights: [String: Double] = [:]
        /// How much later first tokens may come because of tenants that get far more than the others, as a share of the
        /// time that they take; 0: as late as it may be.
        public var tenantIsolation = 0.0
        /// What tells that the pool is full.
        public var saturation = Saturation()
        /// How full the pool may be before a band has to wait.
        public var usageLimit = UsageLimit()
        /// What becomes of deadlines that cannot be kept.
        public var deadlines = Deadlines()

        /// Creates the defaults.
        public init() {}

        /// The most bands of their own.
        public static let mostBands = 64
    }
}

extension Configuration.Admission {
    /// How tenants of one band take turns.
    public enum Fairness: String, Hashable, Sendable, CaseIterable {
        /// They do not: the band is one queue.
        case strict
        /// One request each.
        case roundRobin = "round-robin"
        /// The same number of tokens each, times their weights.
        case tokenFair = "token-fair"
    }

    /// Which request of a tenant goes first; with `Fairness.strict`, which of the band.
    public enum Ordering: String, Hashable, Sendable, CaseIterable {
        /// The one that came first.
        case firstCome = "fcfs"
        /// The one whose deadline comes first.
        case earliestDeadline = "edf"
        /// The one whose first token is due first.
        case serviceLevel = "slo-deadline"
    }

    /// Bounds on waiting and the order of leaving, for each priority band.
    public struct Queue: Hashable, Sendable {
        /// Most requests that wait in one band.
        public var maxRequests = 1000
        /// Most body bytes that they hold.
        public var maxBytes = 256 << 20
        /// Most tokens that they are expected to cost; nil for no limit.
        public var maxTokens: Int?
        /// Longest wait.
        public var ttl = TimeSpan.seconds(30)
        /// Longest wait while no endpoint is up; nil lets `ttl` go on counting.
        public var noEndpointTTL: TimeSpan?
        /// How tenants take turns in bands from priority 0 up.
        public var fairness = Fairness.tokenFair
        /// Which of their requests goes first.
        public var ordering = Ordering.firstCome

        /// Creates the defaults.
        public init() {}
    }

    /// Bounds on waiting in all bands together; nil for no limit.
    public struct Total: Hashable, Sendable {
        /// Most requests.
        public var maxRequests: Int?
        /// Most body bytes.
        public var maxBytes: Int?
        /// Most tokens.
        public var maxTokens: Int?

        /// Creates no limits.
        public init() {}
    }

    /// How requests of one priority wait; what is nil is as for a band without an entry.
    public struct Band: Hashable, Sendable {
        /// The priority.
        public var priority = 0
        /// Most requests that wait.
        public var maxRequests: Int?
        /// Most body bytes that they hold.
        public var maxBytes: Int?
        /// Most tokens that they are expected to cost.
        public var maxTokens: Int?
        /// How tenants take turns.
        public var fairness: Fairness?
        /// Which of their requests goes first.
        public var ordering: Ordering?
        /// Longest wait, where that is shorter than the pool's.
        public var ttl: TimeSpan?
        /// After this wait a request goes before higher bands; nil: never.
        public var ageingBound: TimeSpan?
        /// The share of dispatched tokens that the band gets whatever waits above it.
        public var minimumShare = 0.0
        /// Whether these two hold for a band below 0 against bands from 0 up.
        public var appliesAcrossClasses = false

        /// Creates the band of priority 0.
        public init() {}
    }

    /// What tells that the pool is full.
    public struct Saturation: Hashable, Sendable {
        /// The detectors.
        public enum Detector: String, Hashable, Sendable, CaseIterable {
            /// By the predicted time to first token.
            case predictive
            /// By the queues and KV caches that endpoints report.
            case utilization
            /// By what the gateway has in flight.
            case concurrency
        }

        /// The detector.
        public var detector = Detector.predictive
        /// Parameters of the detector of that name.
        public var predictive = Predictive()
        /// Parameters of the detector of that name.
        public var utilization = Utilization()
        /// Parameters of the detector of that name.
        public var concurrency = Concurrency()

        /// Creates the defaults.
        public init() {}

        /// Parameters of the predictive detector.
        public struct Predictive: Hashable, Sendable {
            /// The budget for queueing is at least this share of the limit on the time to first token.
            public var minimumBudgetShare = 0.5

            /// Creates the defaults.
            public init() {}
        }

        /// What an endpoint counts for whose metrics are too old.
        public enum StalePolicy: String, Hashable, Sendable, CaseIterable {
            /// It counts as full.
            case saturated
            /// It counts by its last metrics.
            case lastKnown = "last-known"
            /// It does not count.
            case excluded
        }

        /// Parameters of the utilization detector.
        public struct Utilization: Hashable, Sendable {
            /// Waiting requests at which an endpoint is full.
            public var queueDepthThreshold = 5
            /// KV cache usage at which it is full.
            public var kvCacheUtilizationThreshold = 0.8
            /// The age at which metrics are too old; nil goes by the interval of reading them.
            public var metricsStalenessThreshold: TimeSpan?
            /// What an endpoint counts for whose metrics are too old.
            public var stalePolicy = StalePolicy.saturated

            /// Creates the defaults.
            public init() {}

            /// The age at which metrics are too old where none is written, unless they are read too seldom for it.
            static let usualStaleness = TimeSpan.milliseconds(200)

            /// The age at which metrics that are read every `interval` are too old.
            public func staleness(scrapedEvery interval: TimeSpan) -> TimeSpan {
                metricsStalenessThreshold ?? max(Self.usualStaleness, interval + interval)
            }
        }

        /// What the concurrency detector counts.
        public enum Mode: String, Hashable, Sendable, CaseIterable {
            /// Requests.
            case requests
            /// Their tokens.
            case tokens
            /// Whichever is relatively more.
            case hybrid
        }

        /// Parameters of the concurrency detector.
        public struct Concurrency: Hashable, Sendable {
            /// What is counted.
            public var mode = Mode.requests
            /// Requests in flight at which an endpoint is full.
            public var maxConcurrency = 100
            /// Tokens in flight at which it is full.
            public var maxTokenConcurrency = 1_000_000

            /// Creates the defaults.
            public init() {}
        }
    }

    /// How full the pool may be before a band has to wait.
    public struct UsageLimit: Hashable, Sendable {
        /// The policies.
        public enum Policy: String, Hashable, Sendable, CaseIterable {
            /// One ceiling for all bands.
            case fixed
            /// Lower ceilings for lower bands, in even steps.
            case priorityHoldbackRank = "priority-holdback-rank"
            /// Lower ceilings for lower bands, by the distance of their priorities.
            case priorityHoldbackValue = "priority-holdback-value"
            /// Ceilings of lower bands come down as the pool fills.
            case softReflective = "soft-reflective"
        }

        /// The policy.
        public var policy = Policy.fixed
        /// The ceiling of the fixed policy.
        public var ceiling = 1.0
        /// The lowest band's ceiling of the holdback policies, which need it.
        public var minimum: Double?
        /// The highest band's ceiling of the holdback policies.
        public var maximum = 1.0

        /// Creates the defaults.
        public init() {}
    }

    /// What becomes of deadlines that cannot be kept.
    public struct Deadlines: Hashable, Sendable {
        /// Whether their requests are turned away at the door.
        public var enabled = true
        /// The factor by which the expected time must exceed the time left.
        public var tolerance = 1.0

        /// Creates the defaults.
        public init() {}
    }
}
