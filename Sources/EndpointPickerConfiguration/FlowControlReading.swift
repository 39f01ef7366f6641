import Basics
import Routing

extension EndpointPickerConfiguration {
    /// The detector that `flowControl` names, or the deprecated top-level section, or a declared default one; nil if the
    /// file says nothing about it.
    static func readSaturationDetector(
        _ section: ReadSection, _ plugins: DeclaredPlugins, _ reader: inout StrictReader
    ) -> SaturationDetector? {
        let standard = SaturationDetector.utilization(WeightedUtilizationDetector())
        var chosen = ReadSection(path: "")
        if section.has("saturationDetector") {
            reader.notice("saturationDetector", "is deprecated, write flowControl.saturationDetector")
            chosen = reader.section("saturationDetector", in: section, keys: ["pluginRef"])
        }
        let flowControl = reader.section(section.entries["flowControl"], at: "flowControl")
        if flowControl.has("saturationDetector") {
            chosen = reader.section("saturationDetector", in: flowControl, keys: ["pluginRef"])
        }
        let type = "utilization-detector"
        guard let name = reader.text("pluginRef", in: chosen), !name.isEmpty, name != type else {
            let isNamed = section.has("saturationDetector") || flowControl.has("saturationDetector")
            return plugins.named(type)?.parts.detector ?? (isNamed ? standard : nil)
        }
        guard let plugin = plugins.reference("pluginRef", in: chosen, &reader) else { return standard }
        guard let detector = plugin.parts.detector else {
            reader.report(chosen.place(of: "pluginRef"), "\(name) is not a saturation detector")
            return standard
        }
        return detector
    }

    /// The section `flowControl`; nil, with a notice if it says anything, unless its gate is on.
    static func readFlowControl(
        _ section: ReadSection, _ plugins: DeclaredPlugins, isOn: Bool, _ reader: inout StrictReader
    ) -> FlowControlSettings? {
        let flow = reader.section(
            "flowControl", in: section,
            keys: [
                "maxBytes", "maxRequests", "defaultRequestTTL", "noEndpointRequestTTL", "defaultPriorityBand",
                "defaultNegativePriorityBand", "priorityBands", "usageLimitPolicyPluginRef", "saturationDetector",
                "enableEviction",
            ])
        var settings = FlowControlSettings()
        settings.maxBytes = reader.quantity("maxBytes", in: flow)
        settings.maxRequests = reader.quantity("maxRequests", in: flow)
        settings.defaultRequestTTL = reader.duration("defaultRequestTTL", in: flow) ?? settings.defaultRequestTTL
        settings.noEndpointRequestTTL =
            reader.duration("noEndpointRequestTTL", in: flow) ?? settings.defaultRequestTTL
        if reader.flag("enableEviction", in: flow) != nil, isOn {
            reader.notice(
                flow.place(of: "enableEviction"),
                "is ignored: sheddable requests always make way for others, as long as no client has seen a byte")
        }
        if flow.has("defaultPriorityBand") {
            settings.defaultBand = band(
                reader.section("defaultPriorityBand", in: flow, keys: bandKeys), plugins, &reader)
        }
        if flow.has("defaultNegativePriorityBand") {
            let section = reader.section("defaultNegativePriorityBand", in: flow, keys: bandKeys)
            settings.defaultNegativeBand = band(section, plugins, &reader)
        }
        for (node, path) in reader.list("priorityBands", in: flow) {
            let section = reader.section(node, at: path, keys: bandKeys)
            let band = band(section, plugins, &reader)
            if settings.bands.contains(where: { $0.priority == band.priority }) {
                reader.report("\(path).priority", "\(band.priority) has an earlier band")
            }
            settings.bands.append(band)
        }
        if let policy = policy("usageLimitPolicyPluginRef", in: flow, plugins, &reader) {
            if let ceiling = policy.saturationCeiling {
                settings.saturationCeiling = ceiling
            } else if !policy.isUnknown {
                reader.report(flow.place(of: "usageLimitPolicyPluginRef"), "is not a usage limit policy")
            }
        }
        if !isOn, flow.entries.keys.contains(where: { $0 != "saturationDetector" }) {
            reader.notice("flowControl", "is ignored, but for saturationDetector: the feature gate flowControl is off")
        }
        return isOn ? settings : nil
    }

    private static let bandKeys = ["priority", "maxBytes", "maxRequests", "fairnessPolicyRef", "orderingPolicyRef"]

    private static func band(
        _ section: ReadSection, _ plugins: DeclaredPlugins, _ reader: inout StrictReader
    ) -> FlowControlSettings.Band {
        var band = FlowControlSettings.Band(priority: reader.whole("priority", in: section) ?? 0)
        band.maxBytes = reader.quantity("maxBytes", in: section) ?? band.maxBytes
        band.maxRequests = reader.quantity("maxRequests", in: section) ?? band.maxRequests
        if let policy = policy("fairnessPolicyRef", in: section, plugins, &reader) {
            if let fairness = policy.fairness {
                band.fairness = fairness
            } else if !policy.isUnknown {
                reader.report(section.place(of: "fairnessPolicyRef"), "is not a fairness policy")
            }
        }
        if let policy = policy("orderingPolicyRef", in: section, plugins, &reader) {
            if let ordering = policy.ordering {
                band.ordering = ordering
            } else if !policy.isUnknown {
                reader.report(section.place(of: "orderingPolicyRef"), "is not an ordering policy")
            }
        }
        return band
    }

    private struct NamedPolicy {
        var isUnknown = false
        var fairness: FlowControlSettings.Fairness?
        var ordering: FlowControlSettings.Ordering?
        var saturationCeiling: Double?
    }

    /// The policy that a key names; the defaults need not be declared. Nil if the key is not written.
    private static func policy(
        _ key: String, in section: ReadSection, _ plugins: DeclaredPlugins, _ reader: inout StrictReader
    ) -> NamedPolicy? {
        guard section.has(key), let name = reader.text(key, in: section), !name.isEmpty else { return nil }
        if plugins.named(name) == nil {
            switch name {
            case FlowControlSettings.Fairness.globalStrict.rawValue: return NamedPolicy(fairness: .globalStrict)
            case FlowControlSettings.Ordering.firstComeFirstServed.rawValue:
                return NamedPolicy(ordering: .firstComeFirstServed)
            case "static-usage-limit-policy": return NamedPolicy(saturationCeiling: 1)
            default: break
            }
        }
        guard let parts = plugins.reference(key, in: section, &reader)?.parts else {
            return NamedPolicy(isUnknown: true)
        }
        return NamedPolicy(
            fairness: parts.fairness, ordering: parts.ordering, saturationCeiling: parts.saturationCeiling)
    }
}

extension StrictReader {
    /// A quantity under a key; nil also for 0, which means the default.
    mutating func quantity(_ key: String, in section: ReadSection) -> Int? {
        guard let text = scalar(key, in: section) else { return nil }
        guard let value = QuantityText.parse(text), value >= 0 else {
            report(section.place(of: key), "is \(text), expected a quantity such as 5000, 500M or 1Gi")
            return nil
        }
        return value > 0 ? value : nil
    }

    /// A duration under a key.
    mutating func duration(_ key: String, in section: ReadSection) -> TimeSpan? {
        guard let text = text(key, in: section) else { return nil }
        guard let span = QuantityText.parseDuration(text) else {
            report(section.place(of: key), "is \(text), expected a duration such as 500ms, 60s or 1m30s")
            return nil
        }
        return span
    }
}
