/// A value of `gate_params`, as a configuration file holds it.
///
/// Upstream's files write numbers as text too, and nested gates as JSON inside a text; `GateConfiguration` reads both.
public enum GateParameter: Hashable, Sendable {
    /// Text; also a number or JSON in disguise.
    case text(String)
    /// A number.
    case number(Double)
    /// True or false.
    case bool(Bool)
    /// A list.
    case list([GateParameter])
    /// Named values.
    case object([String: GateParameter])

    /// What kind of value it is, for error texts.
    var kind: String {
        switch self {
        case .text(let text): "\"\(text.prefix(60))\""
        case .number(let number): GateParameter.plain(number)
        case .bool(let bool): bool ? "true" : "false"
        case .list: "a list"
        case .object: "an object"
        }
    }

    /// A number without a useless ".0", as people write it.
    static func plain(_ number: Double) -> String {
        if let whole = Int64(exactly: number) { return String(whole) }
        return String(number)
    }
}

extension GateParameter: CustomStringConvertible {
    /// The value as JSON on one line, keys in order.
    public var description: String {
        switch self {
        case .text(let text): Self.quoted(text)
        case .number(let number): number.isFinite ? Self.plain(number) : "null"
        case .bool(let bool): bool ? "true" : "false"
        case .list(let items): "[" + items.map(\.description).joined(separator: ",") + "]"
        case .object(let members):
            "{"
                + members.sorted { $0.key < $1.key }.map { Self.quoted($0.key) + ":" + $0.value.description }
                .joined(separator: ",") + "}"
        }
    }

    /// A JSON string; also a PromQL string literal, whose escapes are Go's and agree with JSON's on these.
    static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\r": result += "\\r"
            case "\t": result += "\\t"
            case _ where scalar.value < 0x20:
                let digits = String(scalar.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }
}
