/// Reads a JSON object whose values are numbers, lists of numbers, strings, booleans or null: all that trace lines hold.
struct FlatObjectScanner {
    struct Field {
        let name: String
        let value: Value
    }

    enum Value {
        case number(Double)
        case numbers([Double])
        case other
    }

    struct Defect: Error {
        let reason: String
    }

    private let bytes: ArraySlice<UInt8>
    private var position: Int

    init(_ bytes: ArraySlice<UInt8>) {
        self.bytes = bytes
        position = bytes.startIndex
    }

    /// All fields, in order.
    mutating func fields() throws(Defect) -> [Field] {
        var fields: [Field] = []
        try expect("{")
        if peek() == UInt8(ascii: "}") {
            position += 1
        } else {
            repeat {
                let name = try string()
                try expect(":")
                fields.append(Field(name: name, value: try value()))
            } while try separator(closing: "}")
        }
        if peek() != nil { throw Defect(reason: "text after the end of the object") }
        return fields
    }

    private mutating func value() throws(Defect) -> Value {
        switch peek() {
        case UInt8(ascii: "\""):
            _ = try string()
            return .other
        case UInt8(ascii: "["):
            position += 1
            var numbers: [Double] = []
            if peek() == UInt8(ascii: "]") {
                position += 1
                return .numbers([])
            }
            repeat { numbers.append(try number()) } while try separator(closing: "]")
            return .numbers(numbers)
        case UInt8(ascii: "t"), UInt8(ascii: "f"), UInt8(ascii: "n"):
            let word = bytes[position...].prefix { $0 >= UInt8(ascii: "a") && $0 <= UInt8(ascii: "z") }
            guard ["true", "false", "null"].contains(where: { word.elementsEqual($0.utf8) }) else {
                throw Defect(reason: "'\(word.excerpt)' is not a JSON value")
            }
            position += word.count
            return .other
        default:
            return .number(try number())
        }
    }

    private mutating func number() throws(Defect) -> Double {
        skipSpace()
        let text = bytes[position...].prefix { byte in
            (byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9")) || "+-.eE".utf8.contains(byte)
        }
        guard let value = Double(String(decoding: text, as: UTF8.self)), value.isFinite else {
            let found = text.isEmpty ? bytes[position...].prefix(1).excerpt : text.excerpt
            throw Defect(reason: found.isEmpty ? "the line ends too early" : "'\(found)' is not a number")
        }
        position += text.count
        return value
    }

    private mutating func string() throws(Defect) -> String {
        try expect("\"")
        let start = position
        while position < bytes.endIndex, bytes[position] != UInt8(ascii: "\"") {
            position += bytes[position] == UInt8(ascii: "\\") ? 2 : 1
        }
        guard position < bytes.endIndex else { throw Defect(reason: "a string does not end") }
        defer { position += 1 }
        return String(decoding: bytes[start..<position], as: UTF8.self)
    }

    /// After a member: true at a comma, false at the closing bracket.
    private mutating func separator(closing: Character) throws(Defect) -> Bool {
        if peek() == UInt8(ascii: ",") {
            position += 1
            return true
        }
        try expect(closing)
        return false
    }

    private mutating func expect(_ character: Character) throws(Defect) {
        guard let byte = peek() else { throw Defect(reason: "the line ends where '\(character)' was expected") }
        guard byte == character.asciiValue else {
            throw Defect(reason: "expected '\(character)', found '\(bytes[position...].prefix(1).excerpt)'")
        }
        position += 1
    }

    private mutating func peek() -> UInt8? {
        skipSpace()
        return position < bytes.endIndex ? bytes[position] : nil
    }

    private mutating func skipSpace() {
        while position < bytes.endIndex, bytes[position] == UInt8(ascii: " ") || bytes[position] == UInt8(ascii: "\t") {
            position += 1
        }
    }
}
