import Yams

/// Walks a parsed file and collects what is wrong with it, so that a user sees every problem in one go.
struct ConfigurationReader {
    /// What YAML reads as "no value" when it is not in quotes.
    static let nullWords: Set<String> = ["", "~", "null", "Null", "NULL"]

    let file: String
    let environment: [String: String]
    private(set) var problems: [ConfigurationProblem] = []
    private var marks: [String: Mark] = [:]

    init(file: String, environment: [String: String]) {
        self.file = file
        self.environment = environment
    }

    /// Notes a problem at a key; without a mark, at its place in the file or that of the nearest section around it.
    mutating func report(_ keyPath: String, at mark: Mark? = nil, _ message: String) {
        guard problems.count < ConfigurationError.limit else { return }
        var written = keyPath
        while marks[written] == nil, !written.isEmpty {
            written = written.lastIndex(of: ".").map { String(written[..<$0]) } ?? ""
        }
        let mark = mark ?? marks[written]
        problems.append(
            ConfigurationProblem(
                file: file, keyPath: keyPath, line: mark?.line, column: mark?.column, message: message))
    }

    /// The value of a scalar node; nil if it is not set or wrong.
    mutating func scalar<Value>(_ node: Node, at path: String, _ format: ScalarFormat<Value>) -> Value? {
        marks[path] = node.mark
        guard case .scalar(let scalar) = node else {
            report(path, at: node.mark, "expected one value (\(format.name)), found \(node.kind)")
            return nil
        }
        guard let text = expanded(scalar, at: path) else { return nil }
        do throws(ScalarFault) {
            return try format.parse(text)
        } catch {
            report(path, at: node.mark, error.message)
            return nil
        }
    }

    /// The elements of a list; nil if the node is something else, which is not repeated if it is secret.
    mutating func elements(_ node: Node, at path: String, isSecret: Bool = false) -> [Node]? {
        guard case .sequence(let sequence) = node else {
            report(path, at: node.mark, "expected a list, found \(isSecret ? "something else" : node.kind)")
            return nil
        }
        return Array(sequence)
    }

    /// The entries of a mapping whose keys are the user's own, those without a value left out; nil if the node is something
    /// else, which is not repeated if it is secret.
    mutating func entries(_ node: Node, at path: String, isSecret: Bool = false) -> [(key: String, value: Node)]? {
        marks[path] = node.mark
        guard case .mapping(let mapping) = node else {
            report(path, at: node.mark, "expected a mapping, found \(isSecret ? "something else" : node.kind)")
            return nil
        }
        var entries: [(key: String, value: Node)] = []
        for (keyNode, child) in mapping {
            guard case .scalar(let key) = keyNode else {
                report(path, at: keyNode.mark, "expected a name as key, found \(keyNode.kind)")
                continue
            }
            if !child.isNull { entries.append((key.string, child)) }
        }
        return entries
    }

    /// The text of a scalar with its references to the environment replaced; nil if one of them is wrong.
    mutating func expanded(_ scalar: Node.Scalar, at path: String) -> String? {
        marks[path] = scalar.mark
        do throws(EnvironmentReferences.Fault) {
            return try EnvironmentReferences.expand(scalar.string, environment: environment)
        } catch {
            report(path, at: scalar.mark, error.message)
            return nil
        }
    }

    /// A section with its defaults replaced by what the node says; nil if the node is not a mapping.
    mutating func section<Value: Section>(_ type: Value.Type, _ node: Node, at path: String) -> Value? {
        marks[path] = node.mark
        guard case .mapping(let mapping) = node else {
            report(path, at: node.mark, "expected a mapping with keys, found \(node.kind)")
            return nil
        }
        var value = Value()
        let fields = Value.fields
        var seen: Set<String> = []
        for (keyNode, child) in mapping {
            guard case .scalar(let key) = keyNode else {
                report(path, at: keyNode.mark, "expected a name as key, found \(keyNode.kind)")
                continue
            }
            let place = path.isEmpty ? key.string : "\(path).\(key.string)"
            guard let field = fields.first(where: { $0.key == key.string }) else {
                report(place, at: keyNode.mark, Self.unknownKey(key.string, known: fields.map(\.key)))
                continue
            }
            // A key without a value is one whose children are commented out: it counts as not written.
            if child.isNull { continue }
            seen.insert(key.string)
            marks[place] = child.mark
            field.read(child, place, &self, &value)
        }
        for field in fields where field.isRequired && !seen.contains(field.key) {
            report(path.isEmpty ? field.key : "\(path).\(field.key)", at: node.mark, "is required")
        }
        return value
    }

    private static func unknownKey(_ key: String, known: [String]) -> String {
        if let near = Suggestion.nearest(to: key, among: known) { return "unknown key; did you mean \(near)?" }
        return "unknown key; the keys here are \(known.joined(separator: ", "))"
    }
}

extension Node {
    /// The node in words, for a message.
    fileprivate var kind: String {
        switch self {
        case .scalar(let scalar): isNull ? "nothing" : ScalarFault.quoted(scalar.string)
        case .mapping: "a mapping"
        case .sequence: "a list"
        case .alias: "an alias"
        }
    }

    /// Whether the file leaves the value out.
    var isNull: Bool {
        guard case .scalar(let scalar) = self else { return false }
        return scalar.style == .plain && ConfigurationReader.nullWords.contains(scalar.string)
    }
}
