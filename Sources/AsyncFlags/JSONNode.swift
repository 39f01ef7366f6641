/// A value of a JSON document, and the line it begins in.
struct JSONNode: Hashable {
    /// What the value is.
    indirect enum Kind: Hashable {
        case null
        case bool(Bool)
        case number(Double)
        case text(String)
        case list([JSONNode])
        case object([Member])
    }

    /// A name and its value, in the order of the document.
    struct Member: Hashable {
        let key: String
        let line: Int
        let value: JSONNode
    }

    let kind: Kind
    /// Counted from 1.
    let line: Int

    /// The kind in words, for a message.
    var description: String {
        switch kind {
        case .null: "null"
        case .bool(let bool): "\(bool)"
        case .number(let number): number == number.rounded() && abs(number) < 1e15 ? "\(Int(number))" : "\(number)"
        case .text(let text): "\"\(text.prefix(60))\""
        case .list: "a list"
        case .object: "an object"
        }
    }
}

/// Why a text is no JSON document.
struct JSONFault: Error {
    let message: String
    let line: Int
}

/// Reads a whole JSON document (RFC 8259) into a tree. Keys that appear twice are refused: one of the two would be ignored.
struct JSONReader {
    /// How deep lists and objects may lie in each other.
    private static let maximumDepth = 32
    private let bytes: [UInt8]
    private var index = 0
    private var line = 1

    private init(_ text: String) { bytes = Array(text.utf8) }

    /// The document's one value.
    static func read(_ text: String) throws(JSONFault) -> JSONNode {
        var reader = JSONReader(text)
        let node = try reader.value(depth: 0)
        reader.skipSpace()
        guard reader.index == reader.bytes.count else { throw reader.fault("there is more after its value") }
        return node
    }

    private var next: UInt8? { index < bytes.count ? bytes[index] : nil }

    private func fault(_ message: String) -> JSONFault {
        JSONFault(message: "is not valid JSON: \(message)", line: line)
    }

    private mutating func skipSpace() {
        while let byte = next {
            switch byte {
            case UInt8(ascii: "\n"): line += 1
            case UInt8(ascii: " "), UInt8(ascii: "\t"), UInt8(ascii: "\r"): break
            default: return
            }
            index += 1
        }
    }

    private mutating func take(_ byte: Character) -> Bool {
        skipSpace()
        guard next == byte.asciiValue else { return false }
        index += 1
        return true
    }

    private mutating func value(depth: Int) throws(JSONFault) -> JSONNode {
        guard depth < Self.maximumDepth else { throw fault("it is nested too deeply") }
        skipSpace()
        let start = line
        let kind: JSONNode.Kind
        switch next {
        case UInt8(ascii: "{"): kind = try object(depth: depth)
        case UInt8(ascii: "["): kind = try list(depth: depth)
        case UInt8(ascii: "\""): kind = .text(try text())
        case nil: throw fault("it ends where a value was expected")
        default: kind = try word()
        }
        return JSONNode(kind: kind, line: start)
    }

    private mutating func object(depth: Int) throws(JSONFault) -> JSONNode.Kind {
        index += 1
        var members: [JSONNode.Member] = []
        var seen: Set<String> = []
        if take("}") { return .object([]) }
        repeat {
            skipSpace()
            guard next == UInt8(ascii: "\"") else { throw fault("expected a key in quotes") }
            let start = line
            let key = try text()
            guard seen.insert(key).inserted else { throw fault("the key \"\(key)\" appears twice in one object") }
            guard take(":") else { throw fault("expected a colon after \"\(key)\"") }
            members.append(.init(key: key, line: start, value: try value(depth: depth + 1)))
        } while take(",")
        guard take("}") else { throw fault("expected a comma or a closing brace") }
        return .object(members)
    }

    private mutating func list(depth: Int) throws(JSONFault) -> JSONNode.Kind {
        index += 1
        var elements: [JSONNode] = []
        if take("]") { return .list([]) }
        repeat { elements.append(try value(depth: depth + 1)) } while take(",")
        guard take("]") else { throw fault("expected a comma or a closing bracket") }
        return .list(elements)
    }

    private mutating func word() throws(JSONFault) -> JSONNode.Kind {
        let start = index
        while let byte = next, !",]} \t\r\n:".utf8.contains(byte) { index += 1 }
        let word = String(decoding: bytes[start..<index], as: UTF8.self)
        switch word {
        case "null": return .null
        case "true": return .bool(true)
        case "false": return .bool(false)
        default:
            let isNumeric = word.utf8.allSatisfy { (0x30...0x39).contains($0) || "+-.eE".utf8.contains($0) }
            guard isNumeric, let number = Double(word), number.isFinite else {
                throw fault("expected a value, found \(word.prefix(40))")
            }
            return .number(number)
        }
    }

    private mutating func text() throws(JSONFault) -> String {
        index += 1
        var text: [UInt8] = []
        while let byte = next, byte != UInt8(ascii: "\"") {
            guard byte >= 0x20 else { throw fault("a text contains a line break or another control character") }
            index += 1
            if byte == UInt8(ascii: "\\") {
                text += Array(String(try escape()).utf8)
            } else {
                text.append(byte)
            }
        }
        guard next != nil else { throw fault("a text has no closing quote") }
        index += 1
        return String(decoding: text, as: UTF8.self)
    }

    private mutating func escape() throws(JSONFault) -> Unicode.Scalar {
        guard let byte = next else { throw fault("a text has no closing quote") }
        index += 1
        switch byte {
        case UInt8(ascii: "n"): return "\n"
        case UInt8(ascii: "t"): return "\t"
        case UInt8(ascii: "r"): return "\r"
        case UInt8(ascii: "b"): return "\u{8}"
        case UInt8(ascii: "f"): return "\u{C}"
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return Unicode.Scalar(byte)
        case UInt8(ascii: "u"):
            let unit = try unicodeUnit()
            if let scalar = Unicode.Scalar(unit) { return scalar }
            // Half of a pair: the other half follows in an escape of its own.
            guard (0xD800..<0xDC00).contains(unit), next == UInt8(ascii: "\\") else { throw fault("half a character") }
            index += 1
            guard next == UInt8(ascii: "u") else { throw fault("half a character") }
            index += 1
            let low = try unicodeUnit()
            guard (0xDC00..<0xE000).contains(low),
                let scalar = Unicode.Scalar(0x10000 + (unit - 0xD800) << 10 + (low - 0xDC00))
            else { throw fault("half a character") }
            return scalar
        default: throw fault("an unknown escape in a text")
        }
    }

    private mutating func unicodeUnit() throws(JSONFault) -> UInt32 {
        let digits = bytes[index..<min(index + 4, bytes.count)]
        guard digits.count == 4, let unit = UInt32(String(decoding: digits, as: UTF8.self), radix: 16) else {
            throw fault("an escape that is no character")
        }
        index += 4
        return unit
    }
}
