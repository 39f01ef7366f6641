import DispatchGates
import Yams

extension Field {
    /// A mapping whose keys are the user's own.
    static func map<Value>(
        _ key: String, _ path: WritableKeyPath<Root, [String: Value]>, keys: ScalarFormat<String>,
        values: ScalarFormat<Value>, _ meaning: String
    ) -> Field {
        Field(
            key: key, type: "mapping of \(keys.name) to \(values.name)", meaning: meaning,
            read: { node, place, reader, root in
                guard let entries = reader.entries(node, at: place, isSecret: values.isSecret) else { return }
                for (name, child) in entries {
                    do throws(ScalarFault) {
                        let name = try keys.parse(name)
                        if let value = reader.scalar(child, at: "\(place).\(name)", values) {
                            root[keyPath: path][name] = value
                        }
                    } catch {
                        reader.report("\(place).\(name)", at: child.mark, error.message)
                    }
                }
            },
            node: { root, _ in
                let entries = root[keyPath: path].sorted { $0.key < $1.key }
                if entries.isEmpty { return nil }
                return Node(entries.map { (Node.text($0.key), Node.text(values.print($0.value))) })
            })
    }

    /// A mapping of values of any shape, for what another part of the program defines.
    static func tree(
        _ key: String, _ path: WritableKeyPath<Root, [String: GateParameter]>, _ meaning: String
    ) -> Field {
        Field(
            key: key, type: "mapping", meaning: meaning,
            read: { node, place, reader, root in
                guard let entries = reader.entries(node, at: place) else { return }
                for (name, child) in entries {
                    if let value = reader.parameter(child, at: "\(place).\(name)") { root[keyPath: path][name] = value }
                }
            },
            node: { root, _ in
                let parameters = root[keyPath: path]
                return parameters.isEmpty ? nil : GateParameter.object(parameters).node
            })
    }
}

extension ConfigurationReader {
    /// How deep lists and mappings may lie in each other, so that none exhausts the stack.
    private static let deepestParameter = 16

    /// A value of any shape. A plain word is a number or a boolean if it looks like one; quotes make it a text.
    mutating func parameter(_ node: Node, at path: String, depth: Int = 0) -> GateParameter? {
        guard depth < Self.deepestParameter else {
            report(path, at: node.mark, "is nested too deeply")
            return nil
        }
        switch node {
        case .scalar(let scalar):
            guard let text = expanded(scalar, at: path) else { return nil }
            return scalar.style == .plain ? GateParameter(word: text) : .text(text)
        case .sequence(let sequence):
            return .list(
                sequence.enumerated().compactMap { index, element in
                    parameter(element, at: "\(path)[\(index)]", depth: depth + 1)
                })
        case .mapping:
            var object: [String: GateParameter] = [:]
            for (name, child) in entries(node, at: path) ?? [] {
                object[name] = parameter(child, at: "\(path).\(name)", depth: depth + 1)
            }
            return .object(object)
        case .alias:
            report(path, at: node.mark, "expected a value, found an alias")
            return nil
        }
    }
}

extension GateParameter {
    /// The value of a word without quotes.
    fileprivate init(word: String) {
        let isNumeric = word.utf8.allSatisfy { (0x30...0x39).contains($0) || "+-.eE".utf8.contains($0) }
        switch word {
        case "true": self = .bool(true)
        case "false": self = .bool(false)
        default:
            if isNumeric, let number = Double(word), number.isFinite {
                self = .number(number)
            } else {
                self = .text(word)
            }
        }
    }

    /// The value as a node that reads back as the same value, passwords in it aside.
    fileprivate var node: Node {
        switch self {
        case .text(let text):
            let shown = Secret.maskingPasswords(in: text)
            // Quoted where a plain word would be read as something else.
            return GateParameter(word: shown) == .text(shown)
                ? Node.text(shown) : Node(shown, .implicit, .doubleQuoted)
        case .number(let number): return Node.text(ScalarFormat<Double>.number.print(number))
        case .bool(let bool): return Node.text(bool ? "true" : "false")
        case .list(let elements): return Node(elements.map(\.node))
        case .object(let object):
            return Node(object.sorted { $0.key < $1.key }.map { (Node.text($0.key), $0.value.node) })
        }
    }
}
