extension Configuration.Admission: Section {
    static var fields: [Field<Self>] {
        [
            .scalar(
                "maxConcurrentRequestsPerEndpoint", \.maxConcurrentRequestsPerEndpoint, .positiveCount,
                "Most requests of all kinds in flight on one endpoint; more wait in the gateway."),
            .section("queue", \.queue, "Bounds on waiting, for each priority band, and the order of leaving."),
            .section(
                "total", \.total,
                "Bounds on waiting in all bands together. Requests below priority 0 make room for those from 0 up."),
            .sections("bands", \.bands, "Priorities that wait in another way than `queue` says; at most \(mostBands)."),
            .scalar(
                "outputTokenWeight", \.outputTokenWeight,
                .number.requiring("between 0 and 1000") { (0...1000).contains($0) },
                "What an output token costs in input tokens where tenants get the same number of tokens."),
            .map(
                "tenantWeights", \.tenantWeights, keys: .text,
                values: .number.requiring("between 0.001 and 1000") { (0.001...1000).contains($0) },
                "Shares by the name of a tenant or of what else requests call themselves; a name that is not here has 1."
            ),
            .scalar(
                "tenantIsolation", \.tenantIsolation,
                .number.requiring("between 0 and 1000") { (0...1000).contains($0) },
                "How much later first tokens may come because of tenants that get far more than the others of their band, "
                    + "as a share of the time that they take; such tenants wait meanwhile, with room left free. 0.04 keeps "
                    + "one tenant from being felt by others; 0 lets everybody start as much as fits."
            ),
            .section("saturation", \.saturation, "What tells that the pool is full and requests should wait here."),
            .section("usageLimit", \.usageLimit, "How full the pool may be before a band has to wait."),
            .section("deadlines", \.deadlines, "What becomes of requests whose deadline cannot be kept."),
        ]
    }
}

extension Configuration.Admission.Queue: Section {
    static var fields: [Field<Self>] {
        [
            .scalar("maxRequests", \.maxRequests, .count, "Most requests that wait in one band."),
            .scalar("maxBytes", \.maxBytes, .size, "Most body bytes that the waiting requests of one band hold."),
            .optional(
                "maxTokens", \.maxTokens, .count,
                "Most tokens that the waiting requests of one band are expected to cost. Left out: no limit."),
            .scalar("ttl", \.ttl, .positiveDuration, "Longest wait; a request that waited longer is turned away."),
            .optional(
                "noEndpointTTL", \.noEndpointTTL, .positiveDuration,
                "Longest wait while no endpoint is up. Left out: `ttl` goes on counting."),
            .scalar(
                "fairness", \.fairness, .word,
                "How tenants take turns in bands from priority 0 up: not at all, one request each, or the same number of "
                    + "tokens each. Bands below 0 are `strict` unless `bands` says otherwise."),
            .scalar(
                "ordering", \.ordering, .word,
                "Which request goes first in bands from priority 0 up: the first to come, the earliest deadline, or the "
                    + "one whose first token is due first. Bands below 0 go by `edf` unless `bands` says otherwise."),
        ]
    }
}

extension Configuration.Admission.Total: Section {
    static var fields: [Field<Self>] {
        [
            .optional("maxRequests", \.maxRequests, .count, "Most requests that wait. Left out: no limit."),
            .optional("maxBytes", \.maxBytes, .size, "Most body bytes that they hold. Left out: no limit."),
            .optional(
                "maxTokens", \.maxTokens, .count, "Most tokens that they are expected to cost. Left out: no limit."),
        ]
    }
}

extension Configuration.Admission.Band: Section {
    static var fields: [Field<Self>] {
        [
            .scalar("priority", \.priority, .integer, required: true, "The priority of the band; unique."),
            .optional("maxRequests", \.maxRequests, .count, "Most requests that wait. Left out: as in `queue`."),
            .optional("maxBytes", \.maxBytes, .size, "Most body bytes that they hold. Left out: as in `queue`."),
            .optional(
                "maxTokens", \.maxTokens, .count,
                "Most tokens that they are expected to cost. Left out: as in `queue`."),
            .optional(
                "fairness", \.fairness, .word,
                "How tenants take turns. Left out: as in `queue`, or `strict` below priority 0."),
            .optional(
                "ordering", \.ordering, .word,
                "Which request goes first. Left out: as in `queue`, or `edf` below priority 0."),
            .optional("ttl", \.ttl, .positiveDuration, "Longest wait, where that is shorter than `queue.ttl`."),
            .optional(
                "ageingBound", \.ageingBound, .duration,
                "A request that waited this long goes before higher bands. Left out: never."),
            .scalar(
                "minimumShare", \.minimumShare,
                .number.requiring("at least 0 and less than 1") { (0..<1).contains($0) },
                "The share of dispatched tokens that the band gets while it has work, whatever waits above it."),
            .scalar(
                "appliesAcrossClasses", \.appliesAcrossClasses, .boolean,
                "Whether `ageingBound` and `minimumShare` of a band below 0 hold against bands from 0 up too."),
        ]
    }
}

extension Configuration.Admission.Saturation: Section {
    static var fields: [Field<Self>] {
        [
            .scalar(
                "detector", \.detector, .word,
                "What it goes by: the predicted time to first token, the queues and KV caches that endpoints report, or "
                    + "what the gateway has in flight."),
            .section("predictive", \.predictive, "Parameters of the detector `predictive`."),
            .section("utilization", \.utilization, "Parameters of the detector `utilization`."),
            .section("concurrency", \.concurrency, "Parameters of the detector `concurrency`."),
        ]
    }
}

extension Configuration.Admission.Saturation.Predictive: Section {
    static var fields: [Field<Self>] {
        [
            .scalar(
                "minimumBudgetShare", \.minimumBudgetShare, .positiveShare,
                "The least share of the limit on the time to first token that queueing may take, however long the prompt."
            )
        ]
    }
}

extension Configuration.Admission.Saturation.Utilization: Section {
    static var fields: [Field<Self>] {
        [
            .scalar(
                "queueDepthThreshold", \.queueDepthThreshold, .positiveCount,
                "Waiting requests at which an endpoint is full."),
            .scalar(
                "kvCacheUtilizationThreshold", \.kvCacheUtilizationThreshold, .positiveShare,
                "KV cache usage at which an endpoint is full."),
            .optional(
                "metricsStalenessThreshold", \.metricsStalenessThreshold, .positiveDuration,
                "The age at which metrics are too old. Left out: \(DurationText.text(usualStaleness)), or twice "
                    + "`scrape.interval` if that is longer."),
            .scalar(
                "stalePolicy", \.stalePolicy, .word,
                "How an endpoint with metrics that are too old counts: as full, by its last metrics, or not at all."),
        ]
    }
}

extension Configuration.Admission.Saturation.Concurrency: Section {
    static var fields: [Field<Self>] {
        [
            .scalar("mode", \.mode, .word, "What is counted: requests, their tokens, or whichever is relatively more."),
            .scalar(
                "maxConcurrency", \.maxConcurrency, .positiveCount,
                "Requests in flight at which an endpoint is full."),
            .scalar(
                "maxTokenConcurrency", \.maxTokenConcurrency, .positiveCount,
                "Tokens in flight at which an endpoint is full."),
        ]
    }
}

extension Configuration.Admission.UsageLimit: Section {
    static var fields: [Field<Self>] {
        [
            .scalar(
                "policy", \.policy, .word,
                "How ceilings go by band: one for all, lower ones for lower bands (by rank or by the value of the "
                    + "priority), or lower ones as the pool fills."),
            .scalar("ceiling", \.ceiling, .positiveNumber, "The ceiling of the policy `fixed`; 1 is a full pool."),
            .optional(
                "minimum", \.minimum, .positiveNumber,
                "The ceiling of the lowest band with the `priority-holdback` policies, which need it."),
            .scalar(
                "maximum", \.maximum, .positiveNumber,
                "The ceiling of the highest band with the `priority-holdback` policies."),
        ]
    }
}

extension Configuration.Admission.Deadlines: Section {
    static var fields: [Field<Self>] {
        [
            .scalar(
                "enabled", \.enabled, .boolean,
                "Whether a request whose deadline cannot be kept is turned away at once, with the time that it would take."
            ),
            .scalar(
                "tolerance", \.tolerance, .number.requiring("1 or more") { $0 >= 1 },
                "The factor by which the expected time must exceed the time left."),
        ]
    }
}
