import Basics
import Routing

extension PluginCatalogue {
    /// The filters, the detectors among them, with the keys of their parameters.
    static let filters: [String: Entry] = [
        "label-selector-filter": .reads(keys: ["matchLabels", "matchExpressions"], readSelector),
        "by-label-selector": .reads(keys: ["matchLabels", "matchExpressions"], readSelector),
        "by-label": .reads(keys: ["label", "validValues", "allowsNoLabel"], readLabelValues),
        "encode-filter": .reads(keys: []) { _, _ in PluginParts(filter: .encodeRole) },
        "prefill-filter": .reads(keys: []) { _, _ in PluginParts(filter: .prefillRole) },
        "decode-filter": .reads(keys: []) { _, _ in PluginParts(filter: .decodeRole) },
        "session-affinity-filter": .reads(keys: sessionKeys) { section, reader in
            PluginParts(filter: .sessionAffinity(readSession(section, &reader)))
        },
        "endpoint-attribute-filter": .reads(
            keys: ["attribute", "producer", "onMissing", "fallbackOnEmpty", "algorithm"], readThreshold),
        "utilization-filter": .reads(
            keys: ["conditions", "fallbackOnEmpty", "inFlightLoadProducerName"], readUtilization),
        "prefix-cache-affinity-filter": .reads(
            keys: [
                "affinityThreshold", "explorationProbability", "maxTTFTPenaltyMs", "ttftSource",
                "peakPrefillThroughput",
                "prefixMatchInfoProducerName", "latencyPredictionInfoProducerName", "inFlightLoadProducerName",
            ], readPrefixAffinity),
        "slo-headroom-tier-filter": .reads(
            keys: ["epsilonExploreNeg", "latencyPredictionInfoProducerName"]
        ) { section, reader in
            readProducerNames(section, &reader)
            let probability = reader.number("epsilonExploreNeg", in: section, 0...1) ?? 0.01
            return PluginParts(filter: .headroomTier(negativeTierProbability: probability))
        },
        "utilization-detector": .reads(
            keys: ["queueDepthThreshold", "kvCacheUtilThreshold", "metricsStalenessThreshold", "headroom"],
            readUtilizationDetector),
        "concurrency-detector": .reads(
            keys: [
                "maxConcurrency", "headroom", "concurrencyMode", "maxTokenConcurrency", "inFlightLoadProducerName",
            ], readConcurrencyDetector),
    ]

    private static func readSelector(_ section: ReadSection, _ reader: inout StrictReader) -> PluginParts {
        var requirements: [WeightedLabelSelector.Requirement] = []
        let labels = reader.section("matchLabels", in: section)
        // A selector means the same in any order; sorted, so that equal files give equal policies.
        for key in labels.entries.keys.sorted() {
            if let value = reader.text(key, in: labels) { requirements.append(.isOneOf(key: key, values: [value])) }
        }
        for (node, path) in reader.list("matchExpressions", in: section) {
            let expression = reader.section(node, at: path, keys: ["key", "operator", "values"])
            let key = reader.text("key", in: expression) ?? ""
            if key.isEmpty { reader.report("\(path).key", "is required") }
            let values = reader.texts("values", in: expression)
            guard let comparison = reader.word("operator", in: expression, SelectorOperator.self) else {
                if !expression.has("operator") { reader.report("\(path).operator", "is required") }
                continue
            }
            if comparison.needsValues == values.isEmpty {
                reader.report(
                    "\(path).values", "must \(values.isEmpty ? "not be" : "be") empty for \(comparison.rawValue)")
            }
            requirements.append(comparison.requirement(key: key, values: values))
        }
        return PluginParts(filter: .labelSelector(WeightedLabelSelector(requirements)))
    }

    private enum SelectorOperator: String, CaseIterable {
        case isIn = "In"
        case isNotIn = "NotIn"
        case exists = "Exists"
        case doesNotExist = "DoesNotExist"

        var needsValues: Bool { self == .isIn || self == .isNotIn }

        func requirement(key: String, values: [String]) -> WeightedLabelSelector.Requirement {
            switch self {
            case .isIn: .isOneOf(key: key, values: values)
            case .isNotIn: .isNoneOf(key: key, values: values)
            case .exists: .exists(key: key)
            case .doesNotExist: .isAbsent(key: key)
            }
        }
    }

    private static func readLabelValues(_ section: ReadSection, _ reader: inout StrictReader) -> PluginParts {
        let label = reader.text("label", in: section) ?? ""
        if label.isEmpty { reader.report(section.place(of: "label"), "is required") }
        let values = reader.texts("validValues", in: section)
        let keepsUnlabelled = reader.flag("allowsNoLabel", in: section) ?? false
        if values.isEmpty, !keepsUnlabelled {
            reader.report(section.place(of: "validValues"), "must not be empty unless allowsNoLabel is true")
        }
        return PluginParts(filter: .labelValues(label: label, values: values, keepsUnlabelled: keepsUnlabelled))
    }

    private static func readThreshold(_ section: ReadSection, _ reader: inout StrictReader) -> PluginParts {
        let attribute = readAttribute("attribute", section, &reader)
        let missing = reader.word("onMissing", in: section, MissingPolicy.self) ?? .pass
        let keepsAll = reader.flag("fallbackOnEmpty", in: section) ?? false
        let algorithm = reader.section("algorithm", in: section, keys: ["type", "threshold"])
        let type = reader.text("type", in: algorithm)
        if type != "threshold" {
            reader.report(algorithm.place(of: "type"), "is \(type ?? "missing"), expected threshold")
        }
        let threshold = reader.section("threshold", in: algorithm, keys: ["operator", "value"])
        let comparison = reader.word("operator", in: threshold, WeightedAttributeThreshold.Comparison.self)
        if type == "threshold", comparison == nil, !threshold.has("operator") {
            reader.report(threshold.place(of: "operator"), "is required")
        }
        let value = reader.number("value", in: threshold) ?? 0
        return PluginParts(
            filter: .endpointAttribute(
                WeightedAttributeThreshold(
                    attribute: attribute, comparison ?? .equal, value, keepsMissing: missing == .pass,
                    keepsAllWhenEmpty: keepsAll)))
    }

    private enum MissingPolicy: String, CaseIterable {
        case pass = "Pass"
        case fail = "Fail"
    }

    /// The name of a metric, which is one of those that Weir's engine profile collects.
    static func readAttribute(_ key: String, _ section: ReadSection, _ reader: inout StrictReader) -> String {
        let attribute = reader.text(key, in: section) ?? ""
        let place = section.place(of: key)
        if attribute.isEmpty { reader.report(place, "is required") }
        if reader.text("producer", in: section) == nil, attribute.contains("/") {
            reader.report(place, "contains /, which needs the key producer beside it")
        }
        return attribute
    }

    private static func readUtilization(_ section: ReadSection, _ reader: inout StrictReader) -> PluginParts {
        readProducerNames(section, &reader)
        let conditions = reader.list("conditions", in: section)
        if conditions.isEmpty { reader.report(section.place(of: "conditions"), "must not be empty") }
        let caps = conditions.compactMap { node, path -> WeightedLoadCap? in
            let condition = reader.section(node, at: path, keys: ["metric", "maxValue"])
            let metric = reader.word("metric", in: condition, WeightedLoadCap.Metric.self)
            let most = metric == .kvCacheUtilization ? 1 : Double.greatestFiniteMagnitude
            let maximum = reader.number("maxValue", in: condition, 0...most)
            for key in ["metric", "maxValue"] where !condition.has(key) {
                reader.report("\(path).\(key)", "is required")
            }
            guard let metric, let maximum else { return nil }
            return WeightedLoadCap(metric, atMost: maximum)
        }
        let keepsAll = reader.flag("fallbackOnEmpty", in: section) ?? false
        return PluginParts(filter: .utilization(caps: caps, keepsAllWhenEmpty: keepsAll))
    }

    private static func readPrefixAffinity(_ section: ReadSection, _ reader: inout StrictReader) -> PluginParts {
        readProducerNames(section, &reader)
        let limit = Double.greatestFiniteMagnitude
        var affinity = WeightedPrefixAffinity()
        affinity.threshold = reader.number("affinityThreshold", in: section, -limit...1) ?? affinity.threshold
        affinity.explorationProbability = reader.number("explorationProbability", in: section, 0...1) ?? 0
        affinity.maxPenaltyMilliseconds =
            reader.number("maxTTFTPenaltyMs", in: section, 0...limit) ?? affinity.maxPenaltyMilliseconds
        let speed =
            reader.number("peakPrefillThroughput", in: section, 0...limit)
            ?? WeightedPrefixAffinity.defaultTokensPerSecond
        switch reader.word("ttftSource", in: section, TTFTSource.self) ?? .prefillThroughput {
        case .latencyPredictor: affinity.source = .predictor
        case .prefillThroughput:
            affinity.source = .prefillThroughput(tokensPerSecond: speed)
            if speed == 0, affinity.maxPenaltyMilliseconds > 0 {
                reader.report(section.place(of: "peakPrefillThroughput"), "must be above 0")
            }
        }
        return PluginParts(filter: .prefixCacheAffinity(affinity))
    }

    private enum TTFTSource: String, CaseIterable {
        case prefillThroughput
        case latencyPredictor
    }

    private static func readUtilizationDetector(_ section: ReadSection, _ reader: inout StrictReader) -> PluginParts {
        let limit = Double.greatestFiniteMagnitude
        var detector = WeightedUtilizationDetector()
        detector.queueDepthThreshold =
            reader.whole("queueDepthThreshold", in: section, 1...Int.max) ?? detector.queueDepthThreshold
        detector.kvUsageThreshold =
            reader.number("kvCacheUtilThreshold", in: section, Double.leastNonzeroMagnitude...1)
            ?? detector.kvUsageThreshold
        if let age = reader.duration("metricsStalenessThreshold", in: section) {
            detector.staleAfterMilliseconds = age.milliseconds
            if age <= .zero { reader.report(section.place(of: "metricsStalenessThreshold"), "must be above 0") }
        }
        detector.headroom = reader.number("headroom", in: section, 0...limit) ?? detector.headroom
        return PluginParts(filter: .utilizationDetector(detector), detector: .utilization(detector))
    }

    private static func readConcurrencyDetector(_ section: ReadSection, _ reader: inout StrictReader) -> PluginParts {
        readProducerNames(section, &reader)
        var detector = WeightedConcurrencyDetector()
        detector.mode =
            reader.word("concurrencyMode", in: section, WeightedConcurrencyDetector.Mode.self) ?? detector.mode
        detector.maxRequests = reader.whole("maxConcurrency", in: section, 1...Int.max) ?? detector.maxRequests
        detector.maxTokens = reader.whole("maxTokenConcurrency", in: section, 1...Int.max) ?? detector.maxTokens
        detector.headroom =
            reader.number("headroom", in: section, 0...Double.greatestFiniteMagnitude) ?? detector.headroom
        return PluginParts(filter: .concurrencyDetector(detector), detector: .concurrency(detector))
    }
}
