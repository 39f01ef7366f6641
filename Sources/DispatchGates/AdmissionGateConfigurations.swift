public import Basics

extension GateConfiguration {
    /// What happens to a request beyond a limit.
    public enum GatingMode: String, Hashable, Sendable, CaseIterable {
        /// `redis-quota`: it goes back to its queue. `local-max-concurrency`: it waits.
        case blocking
        /// `redis-quota`: it goes on, labelled `overflow`. `local-max-concurrency`: it goes back to its queue.
        case classifying
    }

    /// `redis-quota`: a shared quota for each value of a metadata attribute.
    public struct RedisQuota: Hashable, Sendable {
        /// The server, as `host:port` or a URL.
        public var address: String
        /// The metadata attribute; a request without it has no quota to keep.
        public var attribute = "userid"
        /// What is counted.
        public var mode = QuotaRequest.Mode.rateLimit
        /// How many at most.
        public var limit: Int
        /// The window of a rate; for how long a concurrency slot lives without news of its holder.
        public var window = TimeSpan.seconds(60)
        /// The beginning of the keys.
        public var prefix = "quota:"
        /// What happens beyond the limit.
        public var gatingMode = GatingMode.blocking

        /// Creates the parameters with upstream's defaults.
        public init(address: String, limit: Int) {
            self.address = address
            self.limit = limit
        }

        init(from reader: inout GateParameterReader) throws(GateConfigurationError) {
            address = try reader.requiredText("address")
            limit = try reader.requiredCount("limit")
            attribute = try reader.text("attribute") ?? "userid"
            mode = try reader.word("mode", of: QuotaRequest.Mode.self) ?? .rateLimit
            window = try reader.duration("window") ?? .seconds(60)
            prefix = try reader.text("prefix") ?? "quota:"
            gatingMode = try reader.word("gating_mode", of: GatingMode.self) ?? .blocking
            if mode == .rateLimit, window <= .zero {
                throw GateConfigurationError(path: reader.path("window"), problem: "must be above 0 for a rate limit")
            }
        }
    }

    /// `local-max-concurrency`: so many requests of this process at once.
    public struct LocalMaxConcurrency: Hashable, Sendable {
        /// How many.
        public var limit: Int
        /// What happens beyond the limit.
        public var gatingMode: GatingMode

        /// Creates the parameters; upstream's default mode.
        public init(limit: Int, gatingMode: GatingMode = .classifying) {
            self.limit = limit
            self.gatingMode = gatingMode
        }

        init(from reader: inout GateParameterReader) throws(GateConfigurationError) {
            limit = try reader.requiredCount("limit")
            gatingMode = try reader.word("gating_mode", of: GatingMode.self) ?? .classifying
        }
    }

    /// `tier-priority-admission`: while the inner gate is closed, reserved requests wait, interactive ones in overflow are
    /// turned away, and the others go back to their queue.
    public struct TierPriorityAdmission: Hashable, Sendable {
        /// The gate that says whether the pool is saturated.
        public var saturationGate: GateConfiguration
        /// The label that holds the tier.
        public var tierLabel: String

        /// Creates the parameters; upstream's default label.
        public init(saturationGate: GateConfiguration, tierLabel: String = "tier") {
            self.saturationGate = saturationGate
            self.tierLabel = tierLabel
        }
    }

    /// `aimd`: windows per (classification, tier) band that learn from responses.
    public struct AIMD: Hashable, Sendable {
        /// The least window, in requests: one request always probes.
        public var minWindow = 1.0
        /// The largest window.
        public var maxWindow = 256.0
        /// What an accepted request adds in slow start, and a whole window of them beyond it.
        public var increase = 1.0
        /// What a rejection for capacity leaves of the window.
        public var decreaseFactor = 0.5
        /// How long a band does not grow after a rejection in a lower one.
        public var holdDuration = TimeSpan.seconds(1)
        /// The label that holds the tier.
        public var tierLabel = "tier"
        /// The time in the gateway's queue from which the window does not grow; twice this shrinks it. Zero: no limit. Only for
        /// those who have `GateAdvice`: gateways do not tell that time, so parameters cannot ask for it.
        public var queueDurationTarget = TimeSpan.zero

        /// Creates the parameters with upstream's defaults.
        public init() {}

        init(from reader: inout GateParameterReader) throws(GateConfigurationError) {
            minWindow = try reader.number("min_window", in: 1...1e6) ?? 1
            maxWindow = try reader.number("max_window", in: 1...1e6) ?? 256
            increase = try reader.positive("increase") ?? 1
            decreaseFactor =
                try reader.number("decrease_factor", in: Double.leastNonzeroMagnitude...1.0.nextDown) ?? 0.5
            holdDuration = try reader.duration("hold_duration") ?? .seconds(1)
            tierLabel = try reader.text("tier_label") ?? "tier"
            guard try reader.duration("queue_duration_target") ?? .zero == .zero else {
                throw GateConfigurationError(
                    path: reader.path("queue_duration_target"),
                    problem:
                        "is not supported: gateways do not tell how long requests wait in them; leave it out or write 0s"
                )
            }
            guard minWindow <= maxWindow else {
                throw GateConfigurationError(
                    path: reader.path("max_window"), problem: "must be at least min_window, which is \(minWindow)")
            }
        }
    }
}
