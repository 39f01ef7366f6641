public import Basics
public import Routing

/// The `flowControl` section of an endpoint picker configuration, defaults filled in.
public struct FlowControlSettings: Hashable, Sendable {
    /// How queues of one band take turns.
    public enum Fairness: String, CaseIterable, Hashable, Sendable {
        /// None: one order across all flows.
        case globalStrict = "global-strict-fairness-policy"
        /// Flows take turns.
        case roundRobin = "round-robin-fairness-policy"
    }

    /// Which request of a queue goes first.
    public enum Ordering: String, CaseIterable, Hashable, Sendable {
        /// The one that came first.
        case firstComeFirstServed = "fcfs-ordering-policy"
        /// The one whose time to live ends first.
        case earliestDeadlineFirst = "edf-ordering-policy"
        /// The one whose limit on the time to first token ends first.
        case sloDeadline = "slo-deadline-ordering-policy"
    }

    /// Limits and policies of one priority.
    public struct Band: Hashable, Sendable {
        /// The priority; of no meaning in the default bands.
        public var priority: Int
        /// Bytes that may wait.
        public var maxBytes = 1_000_000_000
        /// Requests that may wait.
        public var maxRequests = 5000
        /// How flows take turns.
        public var fairness = Fairness.globalStrict
        /// Which request of a flow goes first.
        public var ordering = Ordering.firstComeFirstServed

        /// Creates a band with the defaults.
        public init(priority: Int) { self.priority = priority }
    }

    /// Bytes that may wait over all bands; nil for no limit.
    public var maxBytes: Int?
    /// Requests that may wait over all bands; nil for no limit.
    public var maxRequests: Int?
    /// How long a request may wait.
    public var defaultRequestTTL = TimeSpan.seconds(60)
    /// How long a request may wait while the pool has no endpoint.
    public var noEndpointRequestTTL = TimeSpan.seconds(60)
    /// What a priority from 0 that has no band of its own gets.
    public var defaultBand = Band(priority: 0)
    /// What a priority below 0 that has no band of its own gets; nil for ``defaultBand``.
    public var defaultNegativeBand: Band?
    /// Bands of their own, in the order of the file.
    public var bands: [Band] = []
    /// The saturation from which nothing is dispatched (`static-usage-limit-policy`), 1 being full.
    public var saturationCeiling = 1.0

    /// Creates the settings that an empty section has.
    public init() {}
}

/// What measures how full the pool is.
public enum SaturationDetector: Hashable, Sendable {
    /// `utilization-detector`: waiting requests and KV cache as engines report them.
    case utilization(WeightedUtilizationDetector)
    /// `concurrency-detector`: what the gateway has in flight.
    case concurrency(WeightedConcurrencyDetector)
}
