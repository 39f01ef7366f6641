import Basics
import Routing
import Yams

extension PluginCatalogue {
    /// The scorers with the keys of their parameters.
    static let scorers: [String: Entry] = [
        "queue-scorer": .reads(keys: []) { _, _ in PluginParts(scorer: .queue) },
        "running-requests-size-scorer": .reads(keys: []) { _, _ in PluginParts(scorer: .runningRequests) },
        "kv-cache-utilization-scorer": .reads(keys: []) { _, _ in PluginParts(scorer: .kvCacheUtilization) },
        "lora-affinity-scorer": .reads(keys: []) { _, _ in PluginParts(scorer: .loraAffinity) },
        "load-aware-scorer": .reads(keys: ["threshold"]) { section, reader in
            let threshold = positive("threshold", section, &reader, standard: WeightedScorerRule.defaultQueueThreshold)
            return PluginParts(scorer: .loadAware(threshold: threshold))
        },
        "active-request-scorer": .reads(
            keys: ["requestTimeout", "idleThreshold", "maxBusyScore", "inFlightLoadProducerName"], readActiveRequests),
        "token-load-scorer": .reads(
            keys: ["queueThresholdTokens", "inFlightLoadProducerName"]
        ) { section, reader in
            readProducerNames(section, &reader)
            let standard = WeightedScorerRule.defaultThresholdTokens
            let threshold = positive("queueThresholdTokens", section, &reader, standard: standard)
            return PluginParts(scorer: .tokenLoad(thresholdTokens: threshold))
        },
        "prefix-cache-scorer": .reads(
            keys: ["matchLengthWeight", "matchLengthScaleTokens", "prefixMatchInfoProducerName"], readPrefixMatch),
        "precise-prefix-cache-scorer": .reads(
            keys: ["tokenProcessorConfig", "indexerConfig", "kvEventsConfig", "speculativeIndexing", "speculativeTTL"]
        ) { section, reader in
            reader.notice(
                section.path,
                "precise-prefix-cache-scorer is deprecated and read as prefix-cache-scorer; how KV events are received is "
                    + "in Weir's own settings")
            return PluginParts(scorer: .prefixCache(WeightedPrefixMatch()))
        },
        "no-hit-lru-scorer": .reads(
            keys: ["prefixPluginType", "prefixPluginName", "lruSize", "prefixMatchInfoProducerName"]
        ) { section, reader in
            readProducerNames(section, &reader)
            for key in ["prefixPluginType", "prefixPluginName"] { _ = reader.text(key, in: section) }
            return PluginParts(scorer: .noHitLRU(capacity: positive("lruSize", section, &reader, standard: 1024)))
        },
        "session-affinity-scorer": .reads(keys: sessionKeys) { section, reader in
            PluginParts(scorer: .sessionAffinity(readSession(section, &reader)))
        },
        "context-length-aware": .reads(keys: ["label", "enableFiltering"]) { section, reader in
            let label = reader.text("label", in: section) ?? WeightedScorerRule.defaultContextLengthLabel
            if label.isEmpty { reader.report(section.place(of: "label"), "must not be empty") }
            let isFilter = reader.flag("enableFiltering", in: section) ?? false
            return PluginParts(
                filter: isFilter ? .contextLength(label: label) : nil, scorer: .contextLength(label: label))
        },
        "header-label-affinity-scorer": .reads(keys: ["headerName", "labelKey"]) { section, reader in
            let header = reader.text("headerName", in: section) ?? ""
            let label = reader.text("labelKey", in: section) ?? ""
            if header.isEmpty { reader.report(section.place(of: "headerName"), "is required") }
            if label.isEmpty { reader.report(section.place(of: "labelKey"), "is required") }
            return PluginParts(scorer: .headerLabelAffinity(header: header.lowercased(), label: label))
        },
        "endpoint-attribute-scorer": .reads(keys: ["attributeKey", "producer", "algorithm"], readScale),
        "latency-scorer": .reads(
            keys: [
                "ttftWeight", "tpotWeight", "headroomSelectionStrategy", "compositeKVWeight", "compositeQueueWeight",
                "compositePrefixWeight", "latencyPredictionInfoProducerName", "prefixMatchInfoProducerName",
            ], readLatency),
    ]

    /// A whole number above 0. As in the original, any other falls back to the standard value; the user is told.
    private static func positive(
        _ key: String, _ section: ReadSection, _ reader: inout StrictReader, standard: Int
    ) -> Int {
        guard let value = reader.whole(key, in: section) else { return standard }
        guard value <= 0 else { return value }
        reader.notice(section.place(of: key), "is \(value), which is replaced by \(standard)")
        return standard
    }

    private static func readActiveRequests(_ section: ReadSection, _ reader: inout StrictReader) -> PluginParts {
        readProducerNames(section, &reader)
        if section.has("requestTimeout") {
            _ = reader.text("requestTimeout", in: section)
            reader.notice(section.place(of: "requestTimeout"), "is deprecated and ignored")
        }
        var idle = reader.whole("idleThreshold", in: section) ?? 0
        if idle < 0 {
            reader.notice(section.place(of: "idleThreshold"), "is \(idle), which is replaced by 0")
            idle = 0
        }
        var busy = reader.number("maxBusyScore", in: section) ?? 1
        if !(0...1).contains(busy) {
            reader.notice(section.place(of: "maxBusyScore"), "is \(busy), which is replaced by 1")
            busy = 1
        }
        return PluginParts(scorer: .activeRequests(idleThreshold: idle, maxBusyScore: busy))
    }

    private static func readPrefixMatch(_ section: ReadSection, _ reader: inout StrictReader) -> PluginParts {
        readProducerNames(section, &reader)
        var match = WeightedPrefixMatch()
        match.lengthWeight = reader.number("matchLengthWeight", in: section, 0...1) ?? match.lengthWeight
        match.lengthScaleTokens = reader.whole("matchLengthScaleTokens", in: section) ?? match.lengthScaleTokens
        if match.lengthWeight > 0, match.lengthScaleTokens <= 0 {
            reader.report(
                section.place(of: "matchLengthScaleTokens"),
                "is \(match.lengthScaleTokens), must be above 0 when matchLengthWeight is")
        }
        return PluginParts(scorer: .prefixCache(match))
    }

    private static func readScale(_ section: ReadSection, _ reader: inout StrictReader) -> PluginParts {
        let attribute = readAttribute("attributeKey", section, &reader)
        let algorithm = reader.section("algorithm", in: section, keys: ["type", "normalization"])
        let direction = reader.word("type", in: algorithm, Direction.self)
        if direction == nil, !algorithm.has("type") { reader.report(algorithm.place(of: "type"), "is required") }
        let normalization = reader.section("normalization", in: algorithm, keys: ["fixedRange", "adaptiveRange"])
        var range: ClosedRange<Double>?
        if normalization.has("fixedRange") {
            let fixed = reader.section("fixedRange", in: normalization, keys: ["min", "max"])
            let low = reader.number("min", in: fixed) ?? 0
            let high = reader.number("max", in: fixed) ?? 0
            if low < high {
                range = low...high
            } else {
                reader.report(fixed.path, "needs min below max, found \(low) and \(high)")
            }
            if normalization.has("adaptiveRange") {
                reader.report(normalization.path, "names both fixedRange and adaptiveRange, at most one is possible")
            }
        }
        _ = reader.section("adaptiveRange", in: normalization, keys: [])
        return PluginParts(
            scorer: .endpointAttribute(
                WeightedAttributeScale(attribute: attribute, lowerIsBetter: direction == .lower, range: range)))
    }

    private enum Direction: String, CaseIterable {
        case lower = "linear_lower_is_better"
        case higher = "linear_higher_is_better"
    }

    private static func readLatency(_ section: ReadSection, _ reader: inout StrictReader) -> PluginParts {
        readProducerNames(section, &reader)
        var preference = WeightedLatencyPreference()
        let paths: [(key: String, path: WritableKeyPath<WeightedLatencyPreference, Double>)] = [
            ("ttftWeight", \.ttftWeight), ("tpotWeight", \.tpotWeight), ("compositeKVWeight", \.fallbackKVWeight),
            ("compositeQueueWeight", \.fallbackQueueWeight), ("compositePrefixWeight", \.fallbackPrefixWeight),
        ]
        for (key, path) in paths {
            guard let weight = reader.number(key, in: section, 0...Double.greatestFiniteMagnitude) else { continue }
            preference[keyPath: path] = weight
        }
        let strategy = reader.word("headroomSelectionStrategy", in: section, WeightedLatencyPreference.Strategy.self)
        preference.strategy = strategy ?? preference.strategy
        return PluginParts(scorer: .latency(preference))
    }

    static let sessionKeys = ["strategy", "profileName", "encodedEndpointHeaderConfig", "sessionIdConfig"]

    /// The parameters that the session filter and the session scorer share.
    static func readSession(_ section: ReadSection, _ reader: inout StrictReader) -> WeightedSessionAffinity {
        if let profile = reader.text("profileName", in: section), !profile.isEmpty {
            reader.notice(section.place(of: "profileName"), "is ignored: there is one profile")
        }
        let encoded = reader.section("encodedEndpointHeaderConfig", in: section, keys: ["header"])
        let header = reader.text("header", in: encoded).flatMap { $0.isEmpty ? nil : $0.lowercased() }
        let named = reader.section(
            "sessionIdConfig", in: section, keys: ["sources", "evictionTtlSeconds", "evictionSweepSeconds"])
        let sources = reader.list("sources", in: named).compactMap { node, path in readSource(node, path, &reader) }
        let limit = 3.2e9
        let idle = reader.number("evictionTtlSeconds", in: named, 0...limit) ?? 0
        if reader.number("evictionSweepSeconds", in: named, 0...limit) != nil {
            reader.notice(named.place(of: "evictionSweepSeconds"), "is ignored: bindings end when they are due")
        }
        switch reader.word("strategy", in: section, SessionStrategy.self) ?? .endpointToken {
        case .endpointToken:
            return .endpointToken(header: header ?? WeightedSessionAffinity.defaultTokenHeader)
        case .sessionID:
            return .sessionID(
                sources: sources.isEmpty ? [.header(WeightedSessionAffinity.defaultSessionHeader)] : sources,
                idleLimit: idle > 0 ? .seconds(idle) : WeightedSessionAffinity.defaultIdleLimit)
        }
    }

    private enum SessionStrategy: String, CaseIterable {
        case endpointToken = "encoded_endpoint_header"
        case sessionID = "session_id"
    }

    private static func readSource(
        _ node: Node, _ path: String, _ reader: inout StrictReader
    ) -> WeightedSessionAffinity.Source? {
        let source = reader.section(node, at: path, keys: ["header", "attribute", "producer"])
        let header = reader.text("header", in: source) ?? ""
        let attribute = reader.text("attribute", in: source) ?? ""
        _ = reader.text("producer", in: source)
        guard header.isEmpty != attribute.isEmpty else {
            reader.report(path, "needs exactly one of header and attribute")
            return nil
        }
        if !header.isEmpty { return .header(header.lowercased()) }
        let known = ["agent-identity", "SessionIDDataKey"]
        guard known.contains(attribute) else {
            reader.report("\(path).attribute", "is \(attribute), expected one of \(known.joined(separator: ", "))")
            return nil
        }
        reader.notice("\(path).attribute", "\(attribute) is read as the session that Weir's own settings recognise")
        return .requestSession
    }
}
