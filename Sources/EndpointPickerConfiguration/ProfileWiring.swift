import Routing

extension EndpointPickerConfiguration {
    /// Builds the policy of the one scheduling profile, with what the original adds by itself: without a profile all
    /// plugins that fit one, without a picker the declared one or the highest score, without a weight 1.
    static func readPolicy(
        _ section: ReadSection, _ plugins: DeclaredPlugins, _ reader: inout StrictReader
    ) -> WeightedPolicy {
        var policy = WeightedPolicy()
        policy.headroom = plugins.all.compactMap(\.parts.headroom).last ?? policy.headroom
        var pickers: [WeightedPicker] = []
        let profiles = reader.list("schedulingProfiles", in: section)
        if let second = profiles.dropFirst().first {
            reader.report(
                second.path,
                "is a second profile: Weir runs one, it does not split requests into prefill and decode stages")
        }
        if let (node, path) = profiles.first {
            let profile = reader.section(node, at: path, keys: ["name", "plugins"])
            if reader.text("name", in: profile)?.isEmpty ?? !profile.has("name") {
                reader.report("\(path).name", "is required")
            }
            for (node, path) in reader.list("plugins", in: profile) {
                let entry = reader.section(node, at: path, keys: ["pluginRef", "weight"])
                let weight = reader.number("weight", in: entry)
                guard let plugin = plugins.reference("pluginRef", in: entry, &reader) else { continue }
                if !plugin.parts.isForProfiles {
                    reader.notice(path, "\(plugin.name) is ignored: it is neither filter nor scorer nor picker")
                } else if weight != nil, plugin.parts.scorer == nil {
                    reader.notice("\(path).weight", "is ignored: \(plugin.name) is not a scorer")
                }
                add(plugin, weight: weight ?? 1, at: path, to: &policy, &pickers, &reader)
            }
        } else {
            for plugin in plugins.all {
                add(plugin, weight: 1, at: plugin.path, to: &policy, &pickers, &reader)
            }
        }
        let declared = plugins.all.filter { $0.parts.picker != nil }
        if pickers.isEmpty, declared.count > 1 {
            reader.notice(
                "schedulingProfiles[0]", "names no picker; of the declared ones \(declared[0].name) is taken")
        }
        policy.picker = pickers.first ?? declared.first?.parts.picker ?? policy.picker
        return policy
    }

    private static func add(
        _ plugin: DeclaredPlugins.Plugin, weight: Double, at path: String, to policy: inout WeightedPolicy,
        _ pickers: inout [WeightedPicker], _ reader: inout StrictReader
    ) {
        if let rule = plugin.parts.filter { policy.filters.append(.init(plugin.name, rule)) }
        if let rule = plugin.parts.scorer { policy.scorers.append(.init(plugin.name, rule, weight: weight)) }
        if let picker = plugin.parts.picker {
            if !pickers.isEmpty { reader.report(path, "\(plugin.name) is a second picker, a profile has one") }
            pickers.append(picker)
        }
    }
}
