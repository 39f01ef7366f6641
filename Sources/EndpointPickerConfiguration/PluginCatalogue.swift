import Routing

/// The plugin types of the llm-d router and what becomes of each here. Shared reference `scheduling.md` 1.4 and 1.5,
/// `gaie-protocol.md` 6.3.
enum PluginCatalogue {
    enum Entry: Sendable {
        /// Its parameters have these keys and are read like this.
        case reads(keys: [String], @Sendable (ReadSection, inout StrictReader) -> PluginParts)
        /// Accepted without effect, for a reason that the user is told.
        case ignored(String)
        /// Refused, for a reason that the user is told.
        case unsupported(String)
    }

    static let entries: [String: Entry] = {
        var entries = filters.merging(scorers) { first, _ in first }
        entries.merge(policies) { first, _ in first }
        for (reason, types) in ignored {
            for type in types { entries[type] = .ignored(reason) }
        }
        for (reason, types) in unsupported {
            for type in types { entries[type] = .unsupported(reason) }
        }
        return entries
    }()

    private static let ignored: [(reason: String, types: [String])] = [
        (
            "Weir's own prefix index, load counters and token counts take its place",
            [
                "approx-prefix-cache-producer", "precise-prefix-cache-producer", "inflight-load-producer",
                "token-producer",
                "tokenizer", "mm-embeddings-cache-producer",
            ]
        ),
        ("Weir recognises sessions and tenants by its own settings", ["session-id-producer", "agent-identity"]),
        (
            "endpoints and their metrics come from Weir's own pool settings",
            [
                "metrics-data-source", "models-data-source", "models-data-extractor",
                "k8s-notification-source", "endpoint-notification-source", "dcgm-data-source", "dcgm-extractor",
                "topology-extractor", "file-discovery",
            ]
        ),
        (
            "it compares with the endpoint of another stage, which a single profile does not have",
            ["topology-affinity-filter", "topology-affinity-scorer"]
        ),
        (
            "Weir reads these requests by itself",
            ["openai-parser", "anthropic-parser", "vllmhttp-parser", "passthrough-parser"]
        ),
        (
            "sheddable requests wait in Weir's admission, which takes care of this",
            [
                "latency-slo-admitter", "probabilistic-admitter", "sheddable-eviction-filter",
                "priority-then-time-eviction-order-policy",
            ]
        ),
        ("it writes metadata for Envoy, which is not involved", ["request-attribute-reporter"]),
    ]

    private static let unsupported: [(reason: String, types: [String])] = [
        (
            "Weir runs one profile, it does not split requests into encode, prefill and decode stages",
            [
                "disagg-profile-handler", "pd-profile-handler", "header-profile-handler",
                "data-parallel-profile-handler",
                "disagg-headers-handler", "prefill-header-handler", "prefix-based-pd-decider",
                "always-disagg-pd-decider",
                "always-disagg-multimodal-decider", "disaggregatedset-rollout-screener", "p2p-source-producer",
            ]
        ),
        (
            "Weir does not route between clusters",
            [
                "multicluster-queue-scorer", "multicluster-kv-cache-utilization-scorer",
                "multicluster-prefix-cache-scorer",
                "multicluster-session-affinity-filter", "multicluster-approx-prefix-cache-producer",
                "multicluster-metrics-data-source", "multicluster-metrics-extractor", "multicluster-file-discovery",
            ]
        ),
        ("Weir does not follow what multimodal caches hold", ["mm-embeddings-cache-scorer"]),
        ("Weir reserves on every pick instead of collecting bursts", ["burst-prefix-cache-producer"]),
        ("Weir does not read this format", ["sglanghttp-parser", "vertexai-parser", "vllmgrpc-parser"]),
        ("use round-robin-fairness-policy", ["program-aware-fairness"]),
        ("use static-usage-limit-policy", ["priority-holdback-policy", "soft-reflective-ceiling-policy"]),
        (
            "it is for the original's own tests",
            ["header-based-testing-filter", "destination-endpoint-served-verifier"]
        ),
    ]

    private static let policies: [String: Entry] = {
        var entries: [String: Entry] = [
            "single-profile-handler": .reads(keys: []) { _, _ in PluginParts(isProfileHandler: true) },
            "core-metrics-extractor": .reads(keys: AttributeReading.keys, AttributeReading.read),
            "predicted-latency-producer": .reads(keys: predictionKeys, readPrediction),
            "static-usage-limit-policy": .reads(keys: ["threshold"]) { section, reader in
                PluginParts(saturationCeiling: reader.number("threshold", in: section, 0...1e6) ?? 1)
            },
        ]
        let pickers: [(String, WeightedPicker.Method)] = [
            ("max-score-picker", .maxScore), ("random-picker", .random), ("weighted-random-picker", .weightedRandom),
        ]
        for (type, method) in pickers {
            entries[type] = .reads(keys: ["maxNumOfEndpoints"]) { section, reader in
                PluginParts(
                    picker: WeightedPicker(method, maxEndpoints: reader.whole("maxNumOfEndpoints", in: section) ?? 1))
            }
        }
        for fairness in FlowControlSettings.Fairness.allCases {
            entries[fairness.rawValue] = .reads(keys: []) { _, _ in PluginParts(fairness: fairness) }
        }
        for ordering in FlowControlSettings.Ordering.allCases {
            entries[ordering.rawValue] = .reads(keys: []) { _, _ in PluginParts(ordering: ordering) }
        }
        return entries
    }()

    private static let predictionKeys = [
        "samplingMean", "maxDecodeTokenSamplesForPrediction", "sloBufferFactor", "contextTTL", "streamingMode",
        "endpointRoleLabel", "predictInProduce", "prefixMatchInfoProducerName", "inFlightLoadProducerName",
        "useEncoderCacheFeatures", "encoderCacheMatchInfoProducerName",
    ]

    /// The predictor is Weir's own; what headroom means is read, how to talk to the original's sidecars is not.
    private static func readPrediction(_ section: ReadSection, _ reader: inout StrictReader) -> PluginParts {
        var headroom = WeightedHeadroom()
        headroom.isStreaming = reader.flag("streamingMode", in: section) ?? headroom.isStreaming
        headroom.limitFactor = reader.number("sloBufferFactor", in: section) ?? headroom.limitFactor
        if headroom.limitFactor <= 0 {
            reader.report(section.place(of: "sloBufferFactor"), "is \(headroom.limitFactor), must be above 0")
        }
        for key in predictionKeys where section.has(key) && key != "streamingMode" && key != "sloBufferFactor" {
            reader.notice(section.place(of: key), "is ignored: predictions are Weir's own")
        }
        return PluginParts(headroom: headroom)
    }

    /// Reads the keys by which the original chooses among several producers of one kind. Here there is one of each.
    static func readProducerNames(_ section: ReadSection, _ reader: inout StrictReader) {
        for key in producerNames where section.has(key) { _ = reader.text(key, in: section) }
    }

    private static let producerNames = [
        "prefixMatchInfoProducerName", "inFlightLoadProducerName", "latencyPredictionInfoProducerName",
    ]
}
