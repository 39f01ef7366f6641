/// What is wrong with a JSON text, and at which byte.
struct GateJSONError: Error, CustomStringConvertible {
    let offset: Int
    let problem: String

    var description: String { "\(problem) at byte \(offset)" }
}

extension GateParameter {
    /// Reads JSON: nested gates may come as text. `null` is an empty text, which counts as not given.
    init(json text: String) throws(GateJSONError) {
        var reader = GateJSONReader(bytes: Array(text.utf8))
        self = try reader.document()
    }
}

/// A small JSON reader: strict, and bounded in depth and length.
private struct GateJSONReader {
    private static let maximumDepth = 32
    private static let maximumBytes = 1 << 20
    let bytes: [UInt8]
    private var index = 0

    init(bytes: [UInt8]) { self.bytes = bytes }

    mutating func document() throws(GateJSONError) -> GateParameter {
        guard bytes.count <= Self.maximumBytes else { throw broken("more than 1 MiB") }
        let value = try value(depth: 1)
        skipSpace()
        guard index == bytes.count else { throw broken("something after the value") }
        return value
    }

    private mutating func value(depth: Int) throws(GateJSONError) -> GateParameter {
        guard depth <= Self.maximumDepth else { throw broken("more than \(Self.maximumDepth) levels") }
        skipSpace()
        switch peek {
        case UInt8(ascii: "{"): return try object(depth: depth)
        case UInt8(ascii: "["): return try list(depth: depth)
        case UInt8(ascii: "\""): return .text(try string())
        case UInt8(ascii: "t"): return try literal("true", .bool(true))
        case UInt8(ascii: "f"): return try literal("false", .bool(false))
        case UInt8(ascii: "n"): return try literal("null", .text(""))
        default: return try number()
        }
    }

    private mutating func object(depth: Int) throws(GateJSONError) -> GateParameter {
        var members: [String: GateParameter] = [:]
        index += 1
        skipSpace()
        if take("}") { return .object(members) }
        repeat {
            skipSpace()
            guard peek == UInt8(ascii: "\"") else { throw broken("expected a key") }
            let key = try string()
            skipSpace()
            guard take(":") else { throw broken("expected a colon") }
            guard members.updateValue(try value(depth: depth + 1), forKey: key) == nil else {
                throw broken("the key \"\(key.prefix(60))\" stands there twice")
            }
            skipSpace()
        } while take(",")
        guard take("}") else { throw broken("expected a comma or }") }
        return .object(members)
    }

    private mutating func list(depth: Int) throws(GateJSONError) -> GateParameter {
        var items: [GateParameter] = []
        index += 1
        skipSpace()
        if take("]") { return .list(items) }
        repeat {
            items.append(try value(depth: depth + 1))
            skipSpace()
        } while take(",")
        guard take("]") else { throw broken("expected a comma or ]") }
        return .list(items)
    }

    private mutating func literal(_ word: StaticString, _ value: GateParameter) throws(GateJSONError) -> GateParameter {
        for byte in word.description.utf8 {
            guard peek == byte else { throw broken("expected a value") }
            index += 1
        }
        return value
    }

    private mutating func number() throws(GateJSONError) -> GateParameter {
        let start = index
        while let byte = peek, "+-.0123456789eE".utf8.contains(byte) { index += 1 }
        let text = String(decoding: bytes[start..<index], as: UTF8.self)
        guard let number = Double(text), number.isFinite, !text.hasPrefix("+") else {
            index = start
            throw broken("expected a value")
        }
        return .number(number)
    }

    private mutating func string() throws(GateJSONError) -> String {
        index += 1
        var units: [UInt8] = []
        while let byte = peek {
            index += 1
            switch byte {
            case UInt8(ascii: "\""):
                guard let text = String(validating: units, as: UTF8.self) else { throw broken("text is not UTF-8") }
                return text
            case UInt8(ascii: "\\"): units.append(contentsOf: String(try escape()).utf8)
            case 0..<0x20: throw broken("a control character in a text")
            default: units.append(byte)
            }
        }
        throw broken("a text without an end")
    }

    private mutating func escape() throws(GateJSONError) -> Character {
        guard let byte = peek else { throw broken("a text without an end") }
        index += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return Character(Unicode.Scalar(byte))
        case UInt8(ascii: "b"): return "\u{8}"
        case UInt8(ascii: "f"): return "\u{C}"
        case UInt8(ascii: "n"): return "\n"
        case UInt8(ascii: "r"): return "\r"
        case UInt8(ascii: "t"): return "\t"
        case UInt8(ascii: "u"): return try codePoint()
        default: throw broken("an unknown escape")
        }
    }

    private mutating func codePoint() throws(GateJSONError) -> Character {
        let first = try fourDigits()
        if let scalar = Unicode.Scalar(first) { return Character(scalar) }
        guard (0xD800..<0xDC00).contains(first), take("\\"), take("u") else { throw broken("half a surrogate pair") }
        let second = try fourDigits()
        guard (0xDC00..<0xE000).contains(second),
            let scalar = Unicode.Scalar(0x10000 + (first - 0xD800) << 10 + (second - 0xDC00))
        else { throw broken("half a surrogate pair") }
        return Character(scalar)
    }

    private mutating func fourDigits() throws(GateJSONError) -> UInt32 {
        var value: UInt32 = 0
        for _ in 0..<4 {
            guard let byte = peek, let digit = Character(Unicode.Scalar(byte)).hexDigitValue else {
                throw broken("expected four hexadecimal digits")
            }
            index += 1
            value = value << 4 | UInt32(digit)
        }
        return value
    }

    private var peek: UInt8? { index < bytes.count ? bytes[index] : nil }

    private mutating func take(_ character: Unicode.Scalar) -> Bool {
        guard let byte = peek, UInt32(byte) == character.value else { return false }
        index += 1
        return true
    }

    private mutating func skipSpace() {
        while let byte = peek, byte == 0x20 || (0x09...0x0A).contains(byte) || byte == 0x0D { index += 1 }
    }

    private func broken(_ problem: String) -> GateJSONError { GateJSONError(offset: index, problem: problem) }
}
