import DispatchGates
import WeirConfiguration

/// A JSON document of llm-d-async being read: collects everything that is wrong with it, with its place.
struct Document {
    /// The file as the user named it, or the flag whose value the document is.
    let name: String
    /// What is wrong so far.
    private(set) var problems: [ConfigurationProblem] = []

    init(name: String) { self.name = name }

    /// Notes a problem at a key.
    mutating func report(_ path: String, line: Int?, _ message: String) {
        guard problems.count < ConfigurationError.limit else { return }
        problems.append(ConfigurationProblem(file: name, keyPath: path, line: line, message: message))
    }

    /// The document's value; nil, and a problem, if the text is no JSON.
    mutating func read(_ text: String) -> JSONNode? {
        do throws(JSONFault) {
            return try JSONReader.read(text)
        } catch {
            report("", line: error.line, error.message)
            return nil
        }
    }

    /// The members of an object by key; nil if the node is something else. Keys outside `known` are problems.
    mutating func members(_ node: JSONNode, at path: String, known: [String]) -> Members? {
        guard case .object(let members) = node.kind else {
            report(path, line: node.line, "expected an object, found \(node.description)")
            return nil
        }
        var values: [String: JSONNode] = [:]
        for member in members {
            let place = path.isEmpty ? member.key : "\(path).\(member.key)"
            if known.contains(member.key) {
                // Null is what a generator writes for "not set".
                if member.value.kind != .null { values[member.key] = member.value }
            } else {
                let hint =
                    Suggestion.nearest(to: member.key, among: known).map { "did you mean \($0)?" }
                    ?? "the keys here are \(known.joined(separator: ", "))"
                report(place, line: member.line, "unknown key; \(hint)")
            }
        }
        return Members(path: path, line: node.line, values: values)
    }

    /// The elements of a list; empty, and a problem, if the node is something else.
    mutating func elements(_ node: JSONNode, at path: String) -> [JSONNode] {
        guard case .list(let elements) = node.kind else {
            report(path, line: node.line, "expected a list, found \(node.description)")
            return []
        }
        return elements
    }
}

/// The members of one object, to be read by name.
struct Members {
    let path: String
    let line: Int
    let values: [String: JSONNode]

    /// Where a member stands.
    func place(of key: String) -> String { path.isEmpty ? key : "\(path).\(key)" }

    /// A text; nil if it is not set, empty or something else.
    func text(_ key: String, _ document: inout Document, required: Bool = false) -> String? {
        guard let node = values[key] else {
            if required { document.report(place(of: key), line: line, "is required") }
            return nil
        }
        guard case .text(let text) = node.kind else {
            document.report(place(of: key), line: node.line, "expected a text, found \(node.description)")
            return nil
        }
        if text.isEmpty, required { document.report(place(of: key), line: node.line, "is required") }
        return text.isEmpty ? nil : text
    }

    /// A whole number of at least `minimum`; nil if it is not set or something else.
    func integer(_ key: String, _ document: inout Document, minimum: Int = 0) -> Int? {
        guard let node = values[key] else { return nil }
        guard case .number(let number) = node.kind, let integer = Int(exactly: number), integer >= minimum else {
            document.report(
                place(of: key), line: node.line,
                "expected a whole number of \(minimum) or more, found \(node.description)")
            return nil
        }
        return integer
    }

    /// A mapping of texts; empty if it is not set.
    func texts(_ key: String, _ document: inout Document) -> [String: String] {
        guard let node = values[key] else { return [:] }
        guard case .object(let members) = node.kind else {
            document.report(place(of: key), line: node.line, "expected an object, found \(node.description)")
            return [:]
        }
        var texts: [String: String] = [:]
        for member in members {
            if case .text(let text) = member.value.kind {
                texts[member.key] = text
            } else {
                document.report(
                    "\(place(of: key)).\(member.key)", line: member.line,
                    "expected a text, found \(member.value.description)")
            }
        }
        return texts
    }

    /// Values of any shape by name; empty if nothing is set.
    func parameters(_ key: String, _ document: inout Document) -> [String: GateParameter] {
        guard let node = values[key] else { return [:] }
        guard case .object(let parameters)? = GateParameter(node) else {
            document.report(place(of: key), line: node.line, "expected an object, found \(node.description)")
            return [:]
        }
        return parameters
    }

    /// The gate that the object names; nil if it names none.
    func gate(_ document: inout Document) -> Configuration.Gate? {
        let parameters = parameters("gate_params", &document)
        guard let type = text("gate_type", &document) else {
            if !parameters.isEmpty {
                document.report(place(of: "gate_params"), line: line, "has no effect without gate_type")
            }
            return nil
        }
        return Configuration.Gate(type: type, parameters: parameters)
    }
}

extension GateParameter {
    /// The value of a node; nil for null, which counts as not set.
    init?(_ node: JSONNode) {
        switch node.kind {
        case .null: return nil
        case .bool(let bool): self = .bool(bool)
        case .number(let number): self = .number(number)
        case .text(let text): self = .text(text)
        case .list(let elements): self = .list(elements.compactMap { GateParameter($0) })
        case .object(let members):
            self = .object(
                members.reduce(into: [:]) { object, member in object[member.key] = GateParameter(member.value) })
        }
    }
}
