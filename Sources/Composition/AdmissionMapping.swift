import Admission
import Basics
import EndpointPickerConfiguration
import Routing
import WeirConfiguration

extension AdmissionConfiguration {
    /// What a pool's `admission` section says; an EndpointPickerConfig file fills what it leaves at its default.
    ///
    /// - Parameters:
    ///   - place: where the pool stands in the configuration, for errors.
    ///   - picker: the file.
    init(
        _ pool: Configuration.Pool, at place: String, picker: EndpointPickerConfiguration?
    ) throws(ServiceError) {
        let settings = pool.admission
        self.init(
            maxRequestsPerBand: settings.queue.maxRequests, maxBytesPerBand: settings.queue.maxBytes,
            timeToLive: settings.queue.ttl)
        noEndpointTimeToLive = settings.queue.noEndpointTTL
        realtimeBand.limits.tokens = settings.queue.maxTokens
        realtimeBand.fairness = FlowFairness(settings.queue.fairness)
        realtimeBand.ordering = FlowOrdering(settings.queue.ordering)
        sheddableBand.limits.tokens = settings.queue.maxTokens
        totalLimits = WaitingLimits(
            requests: settings.total.maxRequests, bytes: settings.total.maxBytes, tokens: settings.total.maxTokens)
        outputTokenWeight = settings.outputTokenWeight
        flowWeights = settings.tenantWeights
        isolationTolerance = settings.tenantIsolation > 0 ? settings.tenantIsolation : nil
        saturation = .init(settings.saturation, scrapeInterval: pool.scrape.interval)
        usageLimit = UsageLimitPolicy(settings.usageLimit)
        feasibility.isEnabled = settings.deadlines.enabled
        feasibility.tolerance = settings.deadlines.tolerance
        if let picker { fill(from: picker, beside: pool) }
        for band in settings.bands {
            let usual = band.priority >= 0 ? realtimeBand : sheddableBand
            bands[band.priority] = BandPolicy(band, usual: usual)
        }
        let problems = problems.map { "\(place).admission (pool \(pool.name)): \($0)" }
        guard problems.isEmpty else {
            throw ServiceError(problems.joined(separator: "\n"), isConfiguration: true)
        }
    }

    /// Takes from the file what the pool's section leaves at its default.
    private mutating func fill(from picker: EndpointPickerConfiguration, beside pool: Configuration.Pool) {
        let settings = pool.admission
        let standard = Configuration.Admission()
        if picker.speaksOfSaturation, settings.saturation == standard.saturation {
            saturation = picker.detector(scrapeInterval: pool.scrape.interval)
        }
        guard let flow = picker.flowControl else { return }
        if settings.usageLimit == standard.usageLimit { usageLimit = .fixed(ceiling: flow.saturationCeiling) }
        if settings.queue.ttl == standard.queue.ttl { timeToLive = flow.defaultRequestTTL }
        noEndpointTimeToLive = noEndpointTimeToLive ?? flow.noEndpointRequestTTL
        totalLimits.requests = totalLimits.requests ?? flow.maxRequests
        totalLimits.bytes = totalLimits.bytes ?? flow.maxBytes
        realtimeBand.fill(from: flow.defaultBand, beside: settings.queue)
        sheddableBand.fill(from: flow.defaultNegativeBand ?? flow.defaultBand, beside: settings.queue)
        for band in flow.bands {
            var policy = band.priority >= 0 ? realtimeBand : sheddableBand
            policy.fill(from: band, beside: Configuration.Admission.Queue())
            bands[band.priority] = policy
        }
    }
}

extension BandPolicy {
    /// A band of its own; what it leaves out is as in `usual`.
    fileprivate init(_ band: Configuration.Admission.Band, usual: BandPolicy) {
        self = usual
        limits.requests = band.maxRequests ?? usual.limits.requests
        limits.bytes = band.maxBytes ?? usual.limits.bytes
        limits.tokens = band.maxTokens ?? usual.limits.tokens
        fairness = band.fairness.map { FlowFairness($0) } ?? usual.fairness
        ordering = band.ordering.map { FlowOrdering($0) } ?? usual.ordering
        timeToLive = band.ttl
        ageingBound = band.ageingBound
        minimumShare = band.minimumShare
        appliesAcrossClasses = band.appliesAcrossClasses
    }

    /// Takes what the file says of a band where the `queue` section is at its default.
    fileprivate mutating func fill(
        from band: FlowControlSettings.Band, beside queue: Configuration.Admission.Queue
    ) {
        let standard = Configuration.Admission.Queue()
        if queue.maxRequests == standard.maxRequests { limits.requests = band.maxRequests }
        if queue.maxBytes == standard.maxBytes { limits.bytes = band.maxBytes }
        if queue.fairness == standard.fairness {
            switch band.fairness {
            case .globalStrict: fairness = .strict
            case .roundRobin: fairness = .roundRobin
            }
        }
        if queue.ordering == standard.ordering {
            switch band.ordering {
            case .firstComeFirstServed: ordering = .firstCome
            case .earliestDeadlineFirst: ordering = .earliestDeadline
            case .sloDeadline: ordering = .serviceLevel
            }
        }
    }
}

extension Admission.SaturationDetector {
    fileprivate init(_ settings: Configuration.Admission.Saturation, scrapeInterval: TimeSpan) {
        switch settings.detector {
        case .predictive:
            // The limit on the time to first token is the pool's objective, which the scheduler knows.
            self = .predictive(PredictiveDetector(minimumBudgetShare: settings.predictive.minimumBudgetShare))
        case .utilization:
            let settings = settings.utilization
            self = .utilization(
                UtilizationDetector(
                    queueDepthThreshold: settings.queueDepthThreshold,
                    kvCacheUtilizationThreshold: settings.kvCacheUtilizationThreshold,
                    metricsStalenessThreshold: settings.staleness(scrapedEvery: scrapeInterval),
                    stalePolicy: StalePolicy(settings.stalePolicy)))
        case .concurrency:
            let settings = settings.concurrency
            self = .concurrency(
                ConcurrencyDetector(
                    mode: .init(settings.mode), maxConcurrency: settings.maxConcurrency,
                    maxTokenConcurrency: settings.maxTokenConcurrency))
        }
    }
}

extension EndpointPickerConfiguration {
    /// The saturation detector in admission's terms. Metrics that are read every `scrapeInterval` must not grow too old in
    /// between, or the pool would look full half of the time.
    fileprivate func detector(scrapeInterval: TimeSpan) -> Admission.SaturationDetector {
        switch saturationDetector {
        case .utilization(let detector):
            let age = TimeSpan.milliseconds(detector.staleAfterMilliseconds)
            return .utilization(
                UtilizationDetector(
                    queueDepthThreshold: detector.queueDepthThreshold,
                    kvCacheUtilizationThreshold: detector.kvUsageThreshold,
                    metricsStalenessThreshold: age < scrapeInterval ? scrapeInterval + scrapeInterval : age,
                    headroom: detector.headroom))
        case .concurrency(let detector):
            let mode: ConcurrencyDetector.Mode =
                switch detector.mode {
                case .requests: .requests
                case .tokens: .tokens
                case .hybrid: .hybrid
                }
            return .concurrency(
                ConcurrencyDetector(
                    mode: mode, maxConcurrency: detector.maxRequests, maxTokenConcurrency: detector.maxTokens,
                    headroom: detector.headroom))
        }
    }
}

extension FlowFairness {
    fileprivate init(_ fairness: Configuration.Admission.Fairness) {
        switch fairness {
        case .strict: self = .strict
        case .roundRobin: self = .roundRobin
        case .tokenFair: self = .tokenFair
        }
    }
}

extension FlowOrdering {
    fileprivate init(_ ordering: Configuration.Admission.Ordering) {
        switch ordering {
        case .firstCome: self = .firstCome
        case .earliestDeadline: self = .earliestDeadline
        case .serviceLevel: self = .serviceLevel
        }
    }
}

extension StalePolicy {
    fileprivate init(_ policy: Configuration.Admission.Saturation.StalePolicy) {
        switch policy {
        case .saturated: self = .saturated
        case .lastKnown: self = .lastKnown
        case .excluded: self = .excluded
        }
    }
}

extension ConcurrencyDetector.Mode {
    fileprivate init(_ mode: Configuration.Admission.Saturation.Mode) {
        switch mode {
        case .requests: self = .requests
        case .tokens: self = .tokens
        case .hybrid: self = .hybrid
        }
    }
}

extension UsageLimitPolicy {
    fileprivate init(_ settings: Configuration.Admission.UsageLimit) {
        // A configuration that was checked has a minimum wherever it is needed.
        let minimum = settings.minimum ?? settings.maximum
        switch settings.policy {
        case .fixed: self = .fixed(ceiling: settings.ceiling)
        case .priorityHoldbackRank:
            self = .priorityHoldback(domain: .rank, minimum: minimum, maximum: settings.maximum)
        case .priorityHoldbackValue:
            self = .priorityHoldback(domain: .value, minimum: minimum, maximum: settings.maximum)
        case .softReflective: self = .softReflective
        }
    }
}
