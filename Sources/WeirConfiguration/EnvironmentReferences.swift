/// `${NAME}` and `${NAME:-default}` inside a scalar; `$${` stands for a literal `${`.
enum EnvironmentReferences {
    /// Why a scalar could not be expanded.
    struct Fault: Error {
        let message: String
    }

    /// The text with every reference replaced by the variable's value.
    static func expand(_ text: String, environment: [String: String]) throws(Fault) -> String {
        guard text.contains("${") else { return text }
        var result = ""
        var rest = Substring(text)
        while let dollar = rest.firstIndex(of: "$") {
            result += rest[..<dollar]
            rest = rest[dollar...]
            if rest.hasPrefix("$${") {
                result += "${"
                rest = rest.dropFirst(3)
            } else if rest.hasPrefix("${") {
                guard let end = rest.firstIndex(of: "}") else {
                    throw Fault(message: "the reference that starts with ${ has no closing brace")
                }
                result += try value(of: rest[rest.index(rest.startIndex, offsetBy: 2)..<end], in: environment)
                rest = rest[rest.index(after: end)...]
            } else {
                result += "$"
                rest = rest.dropFirst()
            }
        }
        return result + rest
    }

    /// The text that `expand` turns into `text`.
    static func escape(_ text: String) -> String { text.replacing("${", with: "$${") }

    private static func value(of reference: Substring, in environment: [String: String]) throws(Fault) -> String {
        var name = reference
        var fallback: Substring?
        if let colon = reference.firstIndex(of: ":") {
            name = reference[..<colon]
            let tail = reference[colon...]
            guard tail.hasPrefix(":-") else {
                throw Fault(message: "expected ${NAME} or ${NAME:-default}, found ${\(reference)}")
            }
            fallback = tail.dropFirst(2)
        }
        let isName =
            !name.isEmpty && name.first?.isNumber == false
            && name.unicodeScalars.allSatisfy { $0 == "_" || ($0.isASCII && $0.properties.isAlphabetic) || isDigit($0) }
        guard isName else { throw Fault(message: "expected ${NAME} or ${NAME:-default}, found ${\(reference)}") }
        if let value = environment[String(name)] { return value }
        guard let fallback else { throw Fault(message: "the environment variable \(name) is not set") }
        return String(fallback)
    }

    private static func isDigit(_ scalar: Unicode.Scalar) -> Bool { ("0"..."9").contains(scalar) }
}
