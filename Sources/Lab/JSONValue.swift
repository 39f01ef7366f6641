import ReportPage

/// A JSON value on its way out, with its keys in a fixed order so that equal reports have equal bytes.
indirect enum JSONValue {
    case text(String)
    case whole(Int)
    case decimal(Double, places: Int)
    case flag(Bool)
    case list([JSONValue])
    case object([(String, JSONValue)])

    func write(into text: inout String, indent: Int) {
        let inner = String(repeating: "  ", count: indent + 1)
        let outer = String(repeating: "  ", count: indent)
        switch self {
        case .text(let value): text += Self.quoted(value)
        case .whole(let value): text += String(value)
        case .decimal(let value, let places): text += DecimalText.fixed(value, places)
        case .flag(let value): text += value ? "true" : "false"
        case .list(let values):
            if values.isEmpty {
                text += "[]"
                return
            }
            text += "[\n"
            for (index, value) in values.enumerated() {
                text += inner
                value.write(into: &text, indent: indent + 1)
                text += index + 1 < values.count ? ",\n" : "\n"
            }
            text += outer + "]"
        case .object(let members):
            text += "{\n"
            for (index, member) in members.enumerated() {
                text += inner + Self.quoted(member.0) + ": "
                member.1.write(into: &text, indent: indent + 1)
                text += index + 1 < members.count ? ",\n" : "\n"
            }
            text += outer + "}"
        }
    }

    private static func quoted(_ text: String) -> String {
        var quoted = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": quoted += "\\\""
            case "\\": quoted += "\\\\"
            case _ where scalar.value < 0x20:
                let hex = String(scalar.value, radix: 16)
                quoted += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
            default: quoted.unicodeScalars.append(scalar)
            }
        }
        return quoted + "\""
    }
}
