extension GateConfiguration {
    /// `redis`: a number from 0 to 1 under a key, written by somebody else.
    public struct Redis: Hashable, Sendable {
        /// The server, as `host:port` or a URL.
        public var address: String
        /// The key.
        public var budgetKey: String
        /// The budget while the key is missing or holds no number; upstream has 1 there. A server that cannot be asked
        /// closes the gate in any case.
        public var fallback: Double?

        /// Creates the parameters; upstream's defaults.
        public init(address: String, budgetKey: String = "dispatch-gate-budget", fallback: Double? = nil) {
            self.address = address
            self.budgetKey = budgetKey
            self.fallback = fallback
        }

        init(from reader: inout GateParameterReader) throws(GateConfigurationError) {
            address = try reader.requiredText("address")
            budgetKey = try reader.text("budget_key") ?? "dispatch-gate-budget"
            fallback = try reader.number("fallback", in: 0...1)
        }
    }

    /// `prometheus-saturation`: closed while the pool's saturation is at or above the threshold.
    public struct PrometheusSaturation: Hashable, Sendable {
        /// The inference pool.
        public var pool: String
        /// The namespace, where several share a Prometheus.
        public var namespace: String?
        /// The saturation at which the gate closes.
        public var threshold: Double
        /// A saturation: the budget is 1 less this while there is no reading. Not given, the gate is closed then.
        public var fallback: Double?

        /// Creates the parameters; upstream's defaults, but for the fallback.
        public init(pool: String, namespace: String? = nil, threshold: Double = 0.8, fallback: Double? = nil) {
            self.pool = pool
            self.namespace = namespace
            self.threshold = threshold
            self.fallback = fallback
        }

        init(from reader: inout GateParameterReader) throws(GateConfigurationError) {
            pool = try reader.requiredText("pool")
            namespace = try reader.text("namespace")
            threshold = try reader.number("threshold", in: 0...1) ?? 0.8
            fallback = try reader.number("fallback", in: 0...1)
        }
    }

    /// `prometheus-budget`: D - B, with D from the first of three metrics that has a sample.
    public struct PrometheusBudget: Hashable, Sendable {
        /// The inference pool.
        public var pool: String
        /// The namespace, where several share a Prometheus.
        public var namespace: String?
        /// What one ready pod takes at once, in requests.
        public var maxConcurrency: Double
        /// B: the share that is kept free.
        public var baseline: Double
        /// The budget while no metric has a sample.
        public var fallback: Double

        /// Creates the parameters; upstream's defaults.
        public init(
            pool: String, namespace: String? = nil, maxConcurrency: Double = 100, baseline: Double = 0.05,
            fallback: Double = 0
        ) {
            self.pool = pool
            self.namespace = namespace
            self.maxConcurrency = maxConcurrency
            self.baseline = baseline
            self.fallback = fallback
        }

        init(from reader: inout GateParameterReader) throws(GateConfigurationError) {
            pool = try reader.requiredText("pool")
            namespace = try reader.text("namespace")
            maxConcurrency = try reader.positive("max_concurrency") ?? 100
            baseline = try reader.number("baseline", in: 0...1.0.nextDown) ?? 0.05
            fallback = try reader.number("fallback", in: 0...1) ?? 0
        }
    }

    /// `prometheus-query`: the first sample of a query is the budget.
    public struct PrometheusQuery: Hashable, Sendable {
        /// The query, sent as it stands.
        public var query: String
        /// The inference pool that it is about: a label on metrics, nothing else.
        public var pool: String?
        /// The budget while there is no reading.
        public var fallback: Double

        /// Creates the parameters; upstream's defaults.
        public init(query: String, pool: String? = nil, fallback: Double = 0) {
            self.query = query
            self.pool = pool
            self.fallback = fallback
        }

        init(from reader: inout GateParameterReader) throws(GateConfigurationError) {
            query = try reader.requiredText("query")
            pool = try reader.text("pool")
            fallback = try reader.number("fallback", in: 0...1) ?? 0
        }
    }
}
