import Pool
import Routing

/// What a plugin of the configuration does here; one plugin can play several parts.
struct PluginParts {
    var filter: WeightedFilterRule?
    var scorer: WeightedScorerRule?
    var picker: WeightedPicker?
    var detector: SaturationDetector?
    var fairness: FlowControlSettings.Fairness?
    var ordering: FlowControlSettings.Ordering?
    var saturationCeiling: Double?
    var headroom: WeightedHeadroom?
    var attributes: [EndpointAttribute] = []
    var isProfileHandler = false

    /// Whether a scheduling profile can use it.
    var isForProfiles: Bool { filter != nil || scorer != nil || picker != nil }
}

/// The `plugins` section: who was declared, in order.
struct DeclaredPlugins {
    struct Plugin {
        var name: String
        var type: String
        var path: String
        var parts: PluginParts
    }

    private(set) var all: [Plugin] = []
    /// Names whose declaration is wrong, so that what refers to them is not reported a second time.
    private var broken: Set<String> = []

    init(_ section: ReadSection, _ reader: inout StrictReader) {
        var names: Set<String> = []
        for (node, path) in reader.list("plugins", in: section) {
            let entry = reader.section(node, at: path, keys: ["name", "type", "parameters"])
            guard let type = reader.text("type", in: entry), !type.isEmpty else {
                if entry.entries["type"] == nil { reader.report("\(path).type", "is required") }
                continue
            }
            let name = reader.text("name", in: entry).flatMap { $0.isEmpty ? nil : $0 } ?? type
            guard names.insert(name).inserted else {
                reader.report("\(path).name", "\(name) is the name of an earlier plugin")
                continue
            }
            guard let parts = Self.parts(of: type, in: entry, &reader) else {
                broken.insert(name)
                continue
            }
            all.append(Plugin(name: name, type: type, path: path, parts: parts))
        }
        for handler in all.filter(\.parts.isProfileHandler).dropFirst() {
            reader.report(handler.path, "is a second profile handler, only one is allowed")
        }
    }

    /// The plugin of a name.
    func named(_ name: String) -> Plugin? { all.first { $0.name == name } }

    /// What a key that refers to a plugin names; nil if it is missing or wrong, which is reported.
    ///
    /// - Parameter registeringTypes: whether a type that was not declared may be named all the same.
    @discardableResult
    func reference(
        _ key: String, in section: ReadSection, _ reader: inout StrictReader, registeringTypes: Bool = false
    ) -> Plugin? {
        let place = section.place(of: key)
        guard let name = reader.text(key, in: section), !name.isEmpty else {
            if section.entries[key] == nil { reader.report(place, "is required, expected the name of a plugin") }
            return nil
        }
        if let plugin = named(name) { return plugin }
        if broken.contains(name) { return nil }
        if registeringTypes {
            switch PluginCatalogue.entries[name] {
            case .ignored(let reason):
                reader.notice(place, "\(name) is ignored: \(reason)")
                return nil
            case .unsupported(let reason):
                reader.report(place, "\(name) is not supported: \(reason)")
                return nil
            default: break
            }
        }
        reader.report(place, "\(name) is not the name of a plugin declared under plugins")
        return nil
    }

    private static func parts(
        of type: String, in entry: ReadSection, _ reader: inout StrictReader
    ) -> PluginParts? {
        let place = entry.place(of: "type")
        switch PluginCatalogue.entries[type] {
        case .reads(let keys, let read):
            let parameters = reader.section("parameters", in: entry, keys: keys)
            return read(parameters, &reader)
        case .ignored(let reason):
            reader.notice(place, "\(type) is ignored: \(reason)")
            return PluginParts()
        case .unsupported(let reason):
            reader.report(place, "\(type) is not supported: \(reason)")
            return nil
        case nil:
            reader.report(place, "\(type) is not a known plugin type")
            return nil
        }
    }
}
