/// Names the series of a metrics page that are wanted: `name` or `name{label=value,label2="value2"}`.
///
/// A series matches when it has the name and every listed label with that value; further labels do not matter
/// (reference gaie-protocol.md 3.3).
public struct MetricSpec: Hashable, Sendable, CustomStringConvertible {
    /// A label that a series must have.
    public struct Label: Hashable, Sendable {
        /// Name of the label.
        public let name: String
        /// The value it must have, unescaped.
        public let value: String

        /// Creates a condition on one label.
        public init(name: String, value: String) {
            self.name = name
            self.value = value
        }
    }

    /// Why a text is not a metric spec; the description completes "the metric spec '...' ...".
    public enum ParseError: Error, Hashable, Sendable, CustomStringConvertible {
        /// The name is missing or has a character that metric names cannot have.
        case badName
        /// A label is not `name=value`.
        case badLabel
        /// The braces do not close, or something follows them.
        case badBraces

        /// A clause for error messages.
        public var description: String {
            switch self {
            case .badName: "must begin with a metric name of letters, digits, '_' and ':'"
            case .badLabel: "must list labels as name=value, separated by commas"
            case .badBraces: "must end with the '}' that closes its labels"
            }
        }
    }

    /// Name of the metric.
    public let name: String
    /// Labels that a series must have.
    public let labels: [Label]

    /// Creates a spec from its parts.
    public init(name: String, labels: [Label] = []) {
        self.name = name
        self.labels = labels
    }

    /// Parses a spec as it stands in a configuration. Quotes around values are optional; quoted values may hold commas,
    /// braces and the escapes `\"`, `\\` and `\n`.
    public init(parsing text: String) throws(ParseError) {
        var rest = Substring(text)
        rest.trimSpaces()
        name = String(rest.take { $0.isNameCharacter || $0 == ":" })
        guard let first = name.unicodeScalars.first, !("0"..."9").contains(first) else { throw .badName }
        rest.trimSpaces()
        var labels: [Label] = []
        if !rest.isEmpty {
            guard rest.removeFirst() == "{" else { throw .badName }
            rest.trimSpaces()
            while rest.first != "}" {
                labels.append(try Self.takeLabel(&rest))
                rest.trimSpaces()
                if rest.first == "," {
                    rest.removeFirst()
                    rest.trimSpaces()
                } else if rest.first != "}" {
                    throw rest.isEmpty ? .badBraces : .badLabel
                }
            }
            rest.removeFirst()
            rest.trimSpaces()
            guard rest.isEmpty else { throw .badBraces }
        }
        self.labels = labels
    }

    /// The spec in the form that `init(parsing:)` reads.
    public var description: String {
        if labels.isEmpty { return name }
        let list = labels.map { label in
            let escaped = label.value.reduce(into: "") { text, character in
                switch character {
                case "\\": text += "\\\\"
                case "\"": text += "\\\""
                case "\n": text += "\\n"
                default: text.append(character)
                }
            }
            return "\(label.name)=\"\(escaped)\""
        }
        return name + "{" + list.joined(separator: ",") + "}"
    }

    private static func takeLabel(_ rest: inout Substring) throws(ParseError) -> Label {
        let name = String(rest.take { $0.isNameCharacter })
        rest.trimSpaces()
        guard !name.isEmpty, rest.first == "=" else { throw rest.isEmpty ? .badBraces : .badLabel }
        rest.removeFirst()
        rest.trimSpaces()
        guard rest.first == "\"" else {
            let value = rest.take { $0 != "," && $0 != "}" && $0 != " " }
            guard !value.isEmpty else { throw .badLabel }
            return Label(name: name, value: String(value))
        }
        rest.removeFirst()
        var value = ""
        while let character = rest.popFirst() {
            if character == "\"" { return Label(name: name, value: value) }
            guard character == "\\" else {
                value.append(character)
                continue
            }
            guard let escaped = rest.popFirst() else { break }
            value.append(escaped == "n" ? "\n" : escaped)
        }
        throw .badLabel
    }
}

extension Character {
    fileprivate var isNameCharacter: Bool {
        guard let ascii = asciiValue else { return false }
        return self == "_" || (0x30...0x39).contains(ascii) || (0x61...0x7A).contains(ascii | 0x20)
    }
}

extension Substring {
    fileprivate mutating func trimSpaces() { _ = take { $0 == " " || $0 == "\t" } }

    fileprivate mutating func take(while condition: (Character) -> Bool) -> Substring {
        let taken = prefix(while: condition)
        removeFirst(taken.count)
        return taken
    }
}
