/// What is wrong with a piece of JSON, and where.
public struct JSONScanError: Error, Hashable {
    /// The fault, for people.
    public let message: String
    /// Bytes before the fault.
    public let offset: Int
}

/// Reads JSON (RFC 8259) front to back from bytes in memory, and can step over a value and say where it lay.
///
/// That is what the codec needs and general decoders do not give: the payload of a message has to be passed on byte for
/// byte. Everything stepped over is checked, so that a malformed payload is refused at the door.
public struct JSONScanner {
    /// Arrays and objects may nest this deep; the depth bounds the recursion.
    public static let maximumDepth = 256

    private let bytes: [UInt8]
    /// Bytes read so far.
    public private(set) var position: Int

    /// Reads from `position` on.
    public init(_ bytes: [UInt8], at position: Int = 0) {
        self.bytes = bytes
        self.position = position
    }

    /// The byte that the next value begins with, white space skipped; nil at the end.
    public mutating func peek() -> UInt8? {
        while position < bytes.count {
            switch bytes[position] {
            case 0x20, 0x09, 0x0A, 0x0D: position += 1
            default: return bytes[position]
            }
        }
        return nil
    }

    /// Checks that nothing but white space is left.
    public mutating func expectEnd() throws(JSONScanError) {
        if peek() != nil { throw fault("unexpected text after the value") }
    }

    /// Reads an object; `visit` is called before each value and has to consume it.
    public mutating func readObject(
        _ visit: (_ scanner: inout JSONScanner, _ key: String) throws(JSONScanError) -> Void
    ) throws(JSONScanError) {
        try expect(UInt8(ascii: "{"), "an object")
        if peek() == UInt8(ascii: "}") {
            position += 1
            return
        }
        while true {
            let key = try readString()
            try expect(UInt8(ascii: ":"), "a colon")
            try visit(&self, key)
            guard try separator(closing: UInt8(ascii: "}")) else { return }
        }
    }

    /// Steps over one value of any kind and returns where it lies.
    public mutating func skipValue() throws(JSONScanError) -> Range<Int> {
        let first = peek()
        let start = position
        try skip(first, depth: 0)
        return start..<position
    }

    private mutating func skip(_ first: UInt8?, depth: Int) throws(JSONScanError) {
        guard depth < Self.maximumDepth else { throw fault("nested deeper than \(Self.maximumDepth)") }
        switch first {
        case UInt8(ascii: "{"):
            position += 1
            if peek() == UInt8(ascii: "}") {
                position += 1
                return
            }
            repeat {
                _ = try skipString()
                try expect(UInt8(ascii: ":"), "a colon")
                try skip(peek(), depth: depth + 1)
            } while try separator(closing: UInt8(ascii: "}"))
        case UInt8(ascii: "["):
            position += 1
            if peek() == UInt8(ascii: "]") {
                position += 1
                return
            }
            repeat { try skip(peek(), depth: depth + 1) } while try separator(closing: UInt8(ascii: "]"))
        case UInt8(ascii: "\""): _ = try skipString()
        case UInt8(ascii: "t"): try expectWord("true")
        case UInt8(ascii: "f"): try expectWord("false")
        case UInt8(ascii: "n"): try expectWord("null")
        case let byte? where Self.beginsNumber(byte): _ = try skipNumber()
        case nil: throw fault("the text ends where a value should be")
        default: throw fault("no JSON value begins like this")
        }
    }

    /// Consumes a comma and returns true, or the closing bracket and returns false.
    private mutating func separator(closing: UInt8) throws(JSONScanError) -> Bool {
        switch peek() {
        case UInt8(ascii: ","): position += 1
        case closing:
            position += 1
            return false
        default: throw fault("expected a comma or \"\(Character(UnicodeScalar(closing)))\"")
        }
        return true
    }

    private mutating func expect(_ byte: UInt8, _ name: String) throws(JSONScanError) {
        guard peek() == byte else { throw fault("expected \(name)") }
        position += 1
    }

    private mutating func expectWord(_ word: StaticString) throws(JSONScanError) {
        for index in 0..<word.utf8CodeUnitCount {
            guard position < bytes.count, bytes[position] == word.utf8Start[index] else {
                throw fault("no JSON value begins like this")
            }
            position += 1
        }
    }

    private func fault(_ message: String) -> JSONScanError { JSONScanError(message: message, offset: position) }
}

extension JSONScanner {
    /// Reads a string value.
    public mutating func readString() throws(JSONScanError) -> String {
        let start = position
        let (range, hasEscapes) = try skipString()
        guard hasEscapes else {
            guard let text = String(validating: bytes[range], as: UTF8.self) else {
                throw JSONScanError(message: "a string is not valid UTF-8", offset: start)
            }
            return text
        }
        var units: [UInt8] = []
        units.reserveCapacity(range.count)
        var index = range.lowerBound
        while index < range.upperBound {
            guard bytes[index] == UInt8(ascii: "\\") else {
                units.append(bytes[index])
                index += 1
                continue
            }
            let kind = bytes[index + 1]
            index += 2
            switch kind {
            case UInt8(ascii: "n"): units.append(0x0A)
            case UInt8(ascii: "t"): units.append(0x09)
            case UInt8(ascii: "r"): units.append(0x0D)
            case UInt8(ascii: "b"): units.append(0x08)
            case UInt8(ascii: "f"): units.append(0x0C)
            case UInt8(ascii: "u"):
                var code = codeUnit(at: index)
                index += 4
                if code & 0xFC00 == 0xD800, index + 6 <= range.upperBound, bytes[index] == UInt8(ascii: "\\"),
                    bytes[index + 1] == UInt8(ascii: "u")
                {
                    let low = codeUnit(at: index + 2)
                    if low & 0xFC00 == 0xDC00 {
                        code = 0x10000 + ((code & 0x3FF) << 10) + (low & 0x3FF)
                        index += 6
                    }
                }
                // A lone surrogate has no character; what it stood for is lost already.
                units.append(contentsOf: String(Unicode.Scalar(code) ?? "\u{FFFD}").utf8)
            default: units.append(kind)
            }
        }
        guard let text = String(validating: units, as: UTF8.self) else {
            throw JSONScanError(message: "a string is not valid UTF-8", offset: start)
        }
        return text
    }

    /// Whether a number begins with this byte.
    public static func beginsNumber(_ byte: UInt8) -> Bool {
        byte == UInt8(ascii: "-") || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
    }

    /// Reads a number and returns its text.
    public mutating func readNumber() throws(JSONScanError) -> Substring {
        _ = peek()
        return Substring(decoding: bytes[try skipNumber()], as: UTF8.self)
    }

    private func codeUnit(at index: Int) -> UInt32 {
        bytes[index..<index + 4].reduce(0) { $0 << 4 | UInt32(Self.hexValue($1) ?? 0) }
    }

    private static func hexValue(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }

    /// Steps over a string; returns the range between its quotes, and whether there are escapes in it.
    private mutating func skipString() throws(JSONScanError) -> (Range<Int>, hasEscapes: Bool) {
        try expect(UInt8(ascii: "\""), "a string")
        let start = position
        var hasEscapes = false
        while position < bytes.count {
            switch bytes[position] {
            case UInt8(ascii: "\""):
                position += 1
                return (start..<position - 1, hasEscapes)
            case UInt8(ascii: "\\"):
                hasEscapes = true
                try skipEscape()
            case 0..<0x20: throw fault("a control character in a string")
            default: position += 1
            }
        }
        throw fault("a string without an end")
    }

    private mutating func skipEscape() throws(JSONScanError) {
        position += 1
        guard position < bytes.count else { throw fault("a string without an end") }
        switch bytes[position] {
        case UInt8(ascii: "u"):
            let end = position + 5
            guard end <= bytes.count, bytes[position + 1..<end].allSatisfy({ Self.hexValue($0) != nil }) else {
                throw fault("\\u needs four hexadecimal digits")
            }
            position = end
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"), UInt8(ascii: "b"), UInt8(ascii: "f"),
            UInt8(ascii: "n"), UInt8(ascii: "r"), UInt8(ascii: "t"):
            position += 1
        default: throw fault("an unknown escape in a string")
        }
    }

    /// Steps over a number as the grammar of RFC 8259 section 6 has it.
    private mutating func skipNumber() throws(JSONScanError) -> Range<Int> {
        let start = position
        if position < bytes.count, bytes[position] == UInt8(ascii: "-") { position += 1 }
        if position < bytes.count, bytes[position] == UInt8(ascii: "0") {
            position += 1
        } else {
            try skipDigits()
        }
        if position < bytes.count, bytes[position] == UInt8(ascii: ".") {
            position += 1
            try skipDigits()
        }
        if position < bytes.count, bytes[position] | 0x20 == UInt8(ascii: "e") {
            position += 1
            if position < bytes.count, bytes[position] == UInt8(ascii: "+") || bytes[position] == UInt8(ascii: "-") {
                position += 1
            }
            try skipDigits()
        }
        return start..<position
    }

    private mutating func skipDigits() throws(JSONScanError) {
        let start = position
        while position < bytes.count, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(bytes[position]) {
            position += 1
        }
        if position == start { throw fault("expected a digit") }
    }
}
