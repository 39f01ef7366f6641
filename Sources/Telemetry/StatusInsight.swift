/// What the status page shows of what pools have learned and whom they keep waiting.
extension StatusSnapshot {
    /// What a pool has learned.
    public struct PoolInsight: Hashable, Sendable {
        /// How much of what the pool may carry it carries; at 1 no further batch request may start.
        public var saturation: Double
        /// How full it is for real-time requests; from 1 on they wait in the gateway.
        public var admissionSaturation: Double
        /// Distinct blocks of prompts in its prefix index.
        public var prefixBlocks: Int
        /// Memory that the index has allocated, in bytes.
        public var prefixBytes: Int
        /// Prompt tokens of complete answers, as engines reported them.
        public var promptTokens: Int
        /// Those of them that were cached.
        public var cachedPromptTokens: Int
        /// Requests turned away, by cause, in a fixed order of causes.
        public var rejected: [Count]
        /// The flows that have got most.
        public var flows: [Flow]
        /// How a candidate policy does; nil without one.
        public var shadow: Shadow?

        /// Creates an insight.
        public init(
            saturation: Double, admissionSaturation: Double, prefixBlocks: Int, prefixBytes: Int, promptTokens: Int,
            cachedPromptTokens: Int, rejected: [Count] = [], flows: [Flow] = [], shadow: Shadow? = nil
        ) {
            self.saturation = saturation
            self.admissionSaturation = admissionSaturation
            self.prefixBlocks = prefixBlocks
            self.prefixBytes = prefixBytes
            self.promptTokens = promptTokens
            self.cachedPromptTokens = cachedPromptTokens
            self.rejected = rejected
            self.flows = flows
            self.shadow = shadow
        }
    }

    /// How many there were of something.
    public struct Count: Hashable, Sendable {
        /// Of what.
        public var name: String
        /// How many.
        public var count: Int

        /// Creates a count.
        public init(_ name: String, _ count: Int) {
            self.name = name
            self.count = count
        }
    }

    /// One flow (tenant) in one band.
    public struct Flow: Hashable, Sendable {
        /// Its name.
        public var name: String
        /// The band.
        public var priority: Int
        /// Requests that wait.
        public var waiting: Int
        /// Tokens dispatched for it since it was last forgotten, output tokens weighted.
        public var servedTokens: Double

        /// Creates a flow.
        public init(name: String, priority: Int, waiting: Int, servedTokens: Double) {
            self.name = name
            self.priority = priority
            self.waiting = waiting
            self.servedTokens = servedTokens
        }
    }

    /// A candidate policy beside the live one.
    public struct Shadow: Hashable, Sendable {
        /// Its name.
        public var policy: String
        /// Decisions compared.
        public var decisions: Int
        /// Those in which both chose the same endpoint.
        public var agreements: Int
        /// Those in which its choice was expected to cost less.
        public var improvements: Int
        /// What its choices were expected to cost more, in milliseconds in all.
        public var regretMilliseconds: Double

        /// Creates the figures.
        public init(
            policy: String, decisions: Int, agreements: Int, improvements: Int, regretMilliseconds: Double
        ) {
            self.policy = policy
            self.decisions = decisions
            self.agreements = agreements
            self.improvements = improvements
            self.regretMilliseconds = regretMilliseconds
        }
    }

    /// What is known of one endpoint.
    public struct EndpointInsight: Hashable, Sendable {
        /// Predicted times to first token; nil before the first outcome.
        public var ttft: Prediction?
        /// Predicted times per output token; nil before the first outcome.
        public var tpot: Prediction?
        /// A step without requests, in milliseconds.
        public var stepBaseMilliseconds: Double
        /// Tokens that it is believed to have cached.
        public var cachedTokens: Int
        /// Tokens that it is believed to keep cached; nil while no limit is known.
        public var cacheCapacityTokens: Int?
        /// Step time kept free of batch work, in milliseconds.
        public var harvestReserveMilliseconds: Double
        /// How cautious harvesting has become, 0 to 1.
        public var harvestCaution: Double
        /// Why no further batch request may start; nil if one may.
        public var harvestLimit: String?

        /// Creates an insight.
        public init(
            ttft: Prediction? = nil, tpot: Prediction? = nil, stepBaseMilliseconds: Double, cachedTokens: Int,
            cacheCapacityTokens: Int? = nil, harvestReserveMilliseconds: Double, harvestCaution: Double,
            harvestLimit: String? = nil
        ) {
            self.ttft = ttft
            self.tpot = tpot
            self.stepBaseMilliseconds = stepBaseMilliseconds
            self.cachedTokens = cachedTokens
            self.cacheCapacityTokens = cacheCapacityTokens
            self.harvestReserveMilliseconds = harvestReserveMilliseconds
            self.harvestCaution = harvestCaution
            self.harvestLimit = harvestLimit
        }
    }

    /// How good predictions were lately; all as shares of what came.
    public struct Prediction: Hashable, Sendable {
        /// Outcomes that this is about.
        public var outcomes: Int
        /// Mean absolute error.
        public var meanError: Double
        /// Median absolute error.
        public var medianError: Double
        /// Mean error; above 0 if predictions are too high.
        public var bias: Double
        /// The share of outcomes at or below the predicted 0.9 quantile.
        public var coverage: Double

        /// Creates the figures.
        public init(outcomes: Int, meanError: Double, medianError: Double, bias: Double, coverage: Double) {
            self.outcomes = outcomes
            self.meanError = meanError
            self.medianError = medianError
            self.bias = bias
            self.coverage = coverage
        }
    }

    /// Of a band, beside how many wait.
    public struct BandInsight: Hashable, Sendable {
        /// Bytes of their bodies.
        public var bytes: Int
        /// Tokens that they are expected to take.
        public var tokens: Int
        /// Flows that have any.
        public var flows: Int
        /// How long the oldest has waited, in seconds.
        public var oldestWaitSeconds: Double
        /// Jain's index over the flows that have been waiting for a while; nil where that cannot be told.
        public var fairness: Double?

        /// Creates an insight.
        public init(bytes: Int, tokens: Int, flows: Int, oldestWaitSeconds: Double, fairness: Double? = nil) {
            self.bytes = bytes
            self.tokens = tokens
            self.flows = flows
            self.oldestWaitSeconds = oldestWaitSeconds
            self.fairness = fairness
        }
    }
}

// MARK: - As JSON

extension StatusSnapshot.PoolInsight {
    func write(to pool: inout JSONWriter) {
        pool.value("saturation", saturation.rounded(places: 3))
        pool.value("admission_saturation", admissionSaturation.rounded(places: 3))
        pool.object("prefix_index") {
            $0.value("blocks", prefixBlocks)
            $0.value("bytes", prefixBytes)
        }
        pool.value("prompt_tokens", promptTokens)
        pool.value("cached_prompt_tokens", cachedPromptTokens)
        pool.object("rejected") { object in rejected.forEach { object.value($0.name, $0.count) } }
        pool.array("flows") { list in
            for flow in flows {
                list.object { entry in
                    entry.value("name", flow.name)
                    entry.value("priority", flow.priority)
                    entry.value("waiting", flow.waiting)
                    entry.value("served_tokens", flow.servedTokens.rounded())
                }
            }
        }
        guard let shadow else { return }
        pool.object("shadow") { entry in
            entry.value("policy", shadow.policy)
            entry.value("decisions", shadow.decisions)
            entry.value("agreements", shadow.agreements)
            entry.value("improvements", shadow.improvements)
            entry.value("regret_ms", shadow.regretMilliseconds.rounded(places: 3))
        }
    }
}

extension StatusSnapshot.EndpointInsight {
    func write(to entry: inout JSONWriter) {
        for (name, prediction) in [("ttft_prediction", ttft), ("tpot_prediction", tpot)] {
            guard let prediction else { continue }
            entry.object(name) {
                $0.value("outcomes", prediction.outcomes)
                $0.value("mean_error", prediction.meanError.rounded(places: 4))
                $0.value("median_error", prediction.medianError.rounded(places: 4))
                $0.value("bias", prediction.bias.rounded(places: 4))
                $0.value("coverage", prediction.coverage.rounded(places: 4))
            }
        }
        entry.value("step_base_ms", stepBaseMilliseconds.rounded(places: 3))
        entry.value("cached_tokens", cachedTokens)
        entry.value("cache_capacity_tokens", ifPresent: cacheCapacityTokens)
        entry.value("harvest_reserve_ms", harvestReserveMilliseconds.rounded(places: 3))
        entry.value("harvest_caution", harvestCaution.rounded(places: 3))
        entry.value("harvest_limit", ifPresent: harvestLimit)
    }
}

extension StatusSnapshot.BandInsight {
    func write(to entry: inout JSONWriter) {
        entry.value("bytes", bytes)
        entry.value("tokens", tokens)
        entry.value("flows", flows)
        entry.value("oldest_wait_s", oldestWaitSeconds.rounded(places: 3))
        entry.value("fairness", ifPresent: fairness?.rounded(places: 3))
    }
}

extension Double {
    /// Rounded to so many decimal places: what a page can show.
    fileprivate func rounded(places: Int) -> Double {
        let scale = (0..<places).reduce(1.0) { power, _ in power * 10 }
        let scaled = (self * scale).rounded() / scale
        return scaled.isFinite ? scaled : self
    }
}
