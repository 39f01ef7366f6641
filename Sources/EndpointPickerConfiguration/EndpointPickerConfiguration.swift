public import Pool
public import Routing
import Yams

/// An `EndpointPickerConfig` of the llm-d router, read: the weighted policy and what else of it means something here.
///
/// Reading is as strict as the original's (shared reference `scheduling.md` 1.2 and `gaie-protocol.md` 6.2): an unknown
/// key, type or parameter is an error with its place. What the original knows and Weir does otherwise is a notice;
/// what Weir cannot do is an error.
public struct EndpointPickerConfiguration: Hashable, Sendable {
    /// Filters, scorers and the picker of the scheduling profile.
    public var policy: WeightedPolicy
    /// The saturation detector.
    public var saturationDetector = SaturationDetector.utilization(WeightedUtilizationDetector())
    /// Whether the file says anything about the saturation detector; otherwise it is the default one.
    public var namesSaturationDetector = false
    /// Flow control; nil unless its feature gate is on.
    public var flowControl: FlowControlSettings?
    /// Further metrics of the model servers that the policy reads by a name.
    public var attributes: [EndpointAttribute] = []
    /// What is accepted without effect, or with another effect than might be expected; in the order of the file.
    public var notices: [EndpointPickerProblem] = []

    /// The API groups and versions that are read, the current one first.
    public static let apiVersions = ["llm-d.ai/v1alpha1", "inference.networking.x-k8s.io/v1alpha1"]
    /// The kind that is read.
    public static let kind = "EndpointPickerConfig"
    /// The longest text that is read, in bytes.
    public static let longestText = 1 << 20

    /// What the llm-d router does without a configuration.
    public static let routerDefault = EndpointPickerConfiguration(policy: .routerDefault)

    private static let keys = [
        "apiVersion", "kind", "featureGates", "plugins", "schedulingProfiles", "dataLayer", "requestHandler",
        "flowControl", "saturationDetector", "parser",
    ]

    /// Reads the text of a file; an empty text is the default configuration.
    ///
    /// - Parameters:
    ///   - yaml: the text.
    ///   - file: what errors name as the file.
    /// - Throws: every problem found.
    public static func parse(
        _ yaml: String, file: String
    ) throws(EndpointPickerConfigurationError) -> EndpointPickerConfiguration {
        var reader = StrictReader(file: file)
        guard yaml.utf8.count <= longestText else {
            reader.report("", "is longer than \(longestText) bytes")
            throw EndpointPickerConfigurationError(problems: reader.problems)
        }
        let root: Node?
        do {
            root = try Yams.compose(yaml: yaml)
        } catch {
            throw EndpointPickerConfigurationError(problems: [syntaxProblem(error, file: file)])
        }
        guard let root else { return routerDefault }
        let section = reader.section(root, at: "", keys: keys)
        let configuration = read(section, &reader)
        guard reader.problems.isEmpty else { throw EndpointPickerConfigurationError(problems: reader.problems) }
        return configuration
    }

    private static func read(_ section: ReadSection, _ reader: inout StrictReader) -> EndpointPickerConfiguration {
        readHead(section, &reader)
        let isFlowControlOn = readGates(section, &reader)
        let plugins = DeclaredPlugins(section, &reader)
        var configuration = EndpointPickerConfiguration(policy: readPolicy(section, plugins, &reader))
        readDataLayer(section, plugins, &reader)
        readParsers(section, plugins, &reader)
        if let detector = readSaturationDetector(section, plugins, &reader) {
            configuration.saturationDetector = detector
            configuration.namesSaturationDetector = true
        }
        configuration.attributes = plugins.all.flatMap(\.parts.attributes).merged()
        configuration.flowControl = readFlowControl(section, plugins, isOn: isFlowControlOn, &reader)
        configuration.notices = reader.notices
        return configuration
    }

    private static func readHead(_ section: ReadSection, _ reader: inout StrictReader) {
        if let kind = reader.text("kind", in: section) {
            if kind != Self.kind { reader.report("kind", "is \(kind), expected \(Self.kind)") }
        } else if !section.has("kind") {
            reader.report("kind", "is required, expected \(Self.kind)")
        }
        if let version = reader.text("apiVersion", in: section) {
            if !apiVersions.contains(version) {
                reader.report("apiVersion", "is \(version), expected one of \(apiVersions.joined(separator: ", "))")
            } else if version != apiVersions[0] {
                reader.notice("apiVersion", "\(version) is deprecated, write \(apiVersions[0])")
            }
        } else if !section.has("apiVersion") {
            reader.report("apiVersion", "is required, expected \(apiVersions[0])")
        }
    }

    /// Reads `name` or `name=true`, and says whether flow control is on.
    private static func readGates(_ section: ReadSection, _ reader: inout StrictReader) -> Bool {
        let known = ["flowControl", "haPopulateNonLeaderDatastore"]
        var isOn = false
        for (node, path) in reader.list("featureGates", in: section) {
            guard let text = reader.text(node, at: path) else { continue }
            let parts = text.split(separator: "=", omittingEmptySubsequences: false).map(String.init)
            guard known.contains(parts[0]) else {
                reader.report(
                    path, "\(parts[0]) is not a known feature gate, expected one of \(known.joined(separator: ", "))")
                continue
            }
            let value = parts.count > 1 ? parts[1].lowercased().filter { !$0.isWhitespace } : "true"
            guard ["true", "t", "1", "false", "f", "0"].contains(value) else {
                reader.report(path, "\(parts[1]) is neither true nor false")
                continue
            }
            if parts[0] == "flowControl" { isOn = ["true", "t", "1"].contains(value) }
        }
        return isOn
    }

    private static func readDataLayer(
        _ section: ReadSection, _ plugins: DeclaredPlugins, _ reader: inout StrictReader
    ) {
        guard section.has("dataLayer") else { return }
        let layer = reader.section(
            "dataLayer", in: section,
            keys: [
                "injectDefaults", "sources", "discovery", "peerDiscovery", "crossReplicaSyncerPluginRef",
                "crossReplicaSyncInterval",
            ])
        _ = reader.flag("injectDefaults", in: layer)
        for (node, path) in reader.list("sources", in: layer) {
            let source = reader.section(node, at: path, keys: ["pluginRef", "extractors"])
            plugins.reference("pluginRef", in: source, &reader)
            for (node, path) in reader.list("extractors", in: source) {
                plugins.reference("pluginRef", in: reader.section(node, at: path, keys: ["pluginRef"]), &reader)
            }
        }
        for key in ["discovery", "peerDiscovery"] where layer.has(key) {
            plugins.reference("pluginRef", in: reader.section(key, in: layer, keys: ["pluginRef"]), &reader)
        }
        if layer.has("crossReplicaSyncerPluginRef") {
            plugins.reference("crossReplicaSyncerPluginRef", in: layer, &reader)
        }
        _ = reader.duration("crossReplicaSyncInterval", in: layer)
        reader.notice("dataLayer", "is ignored: endpoints and their metrics come from Weir's own pool settings")
    }

    private static func readParsers(
        _ section: ReadSection, _ plugins: DeclaredPlugins, _ reader: inout StrictReader
    ) {
        if section.has("parser") {
            reader.notice("parser", "is deprecated, write requestHandler.parsers")
            let parser = reader.section("parser", in: section, keys: ["pluginRef"])
            plugins.reference("pluginRef", in: parser, &reader, registeringTypes: true)
        }
        let handler = reader.section("requestHandler", in: section, keys: ["parsers"])
        for (node, path) in reader.list("parsers", in: handler) {
            let parser = reader.section(node, at: path, keys: ["pluginRef"])
            plugins.reference("pluginRef", in: parser, &reader, registeringTypes: true)
        }
    }

    private static func syntaxProblem(_ error: any Error, file: String) -> EndpointPickerProblem {
        var problem = EndpointPickerProblem(file: file, keyPath: "", message: "is not valid YAML")
        switch error as? YamlError {
        case .scanner(_, let message, let mark, _), .parser(_, let message, let mark, _),
            .composer(_, let message, let mark, _):
            problem.message = "is not valid YAML: \(message)"
            problem.line = mark.line
            problem.column = mark.column
        case .reader(let message, _, _, _): problem.message = "is not valid YAML: \(message)"
        case .duplicatedKeysInMapping(let duplicates, let context):
            problem.message = "the key \(duplicates.joined(separator: ", ")) appears twice in one mapping"
            problem.line = context.mark.line
            problem.column = context.mark.column
        default: break
        }
        return problem
    }
}
