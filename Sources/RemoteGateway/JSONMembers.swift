/// Takes a JSON object apart into its members, or an array into its elements, each with its text as it stands.
///
/// Only as deep as that takes: what is inside a value is stepped over by its brackets and strings.
enum JSONMembers {
    /// A member.
    struct Member: Hashable {
        let name: String
        /// The value as it stands.
        let json: [UInt8]
        /// The value's characters, if it is a string; empty if it is `null`.
        let text: String?
    }

    /// The bytes are no JSON object.
    struct Fault: Error, Hashable {}

    /// Members in the order of their first appearance; of several with one name the last counts.
    static func read(_ bytes: [UInt8]) throws(Fault) -> [Member] {
        var reader = Reader(bytes: bytes)
        var members: [Member] = []
        var places: [String: Int] = [:]
        try reader.expect(UInt8(ascii: "{"))
        if reader.peek() != UInt8(ascii: "}") {
            while true {
                let name = try reader.string()
                try reader.expect(UInt8(ascii: ":"))
                let member = try reader.value(named: name)
                if let place = places[name] {
                    members[place] = member
                } else {
                    places[name] = members.count
                    members.append(member)
                }
                guard reader.peek() == UInt8(ascii: ",") else { break }
                try reader.expect(UInt8(ascii: ","))
            }
        }
        try reader.expect(UInt8(ascii: "}"))
        guard reader.peek() == nil else { throw Fault() }
        return members
    }

    /// The elements of an array, as they stand.
    static func elements(_ bytes: [UInt8]) throws(Fault) -> [[UInt8]] {
        var reader = Reader(bytes: bytes)
        var elements: [[UInt8]] = []
        try reader.expect(UInt8(ascii: "["))
        if reader.peek() != UInt8(ascii: "]") {
            while true {
                elements.append(try reader.value(named: "").json)
                guard reader.peek() == UInt8(ascii: ",") else { break }
                try reader.expect(UInt8(ascii: ","))
            }
        }
        try reader.expect(UInt8(ascii: "]"))
        guard reader.peek() == nil else { throw Fault() }
        return elements
    }

    /// The characters of a string.
    static func string(_ bytes: [UInt8]) throws(Fault) -> String {
        var reader = Reader(bytes: bytes)
        return try reader.string()
    }

    private struct Reader {
        let bytes: [UInt8]
        var position = 0

        /// The next byte that is no white space.
        mutating func peek() -> UInt8? {
            while position < bytes.count, [0x20, 0x09, 0x0A, 0x0D].contains(bytes[position]) { position += 1 }
            return position < bytes.count ? bytes[position] : nil
        }

        mutating func expect(_ byte: UInt8) throws(Fault) {
            guard peek() == byte else { throw Fault() }
            position += 1
        }

        mutating func value(named name: String) throws(Fault) -> Member {
            guard let first = peek() else { throw Fault() }
            let start = position
            if first == UInt8(ascii: "\"") {
                let text = try string()
                return Member(name: name, json: Array(bytes[start..<position]), text: text)
            }
            var depth = 0
            scan: while position < bytes.count {
                switch bytes[position] {
                case UInt8(ascii: "\""):
                    try skipString()
                    continue scan
                case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
                case UInt8(ascii: "}"), UInt8(ascii: "]"):
                    if depth == 0 { break scan }
                    depth -= 1
                case UInt8(ascii: ",") where depth == 0: break scan
                default: break
                }
                position += 1
            }
            var end = position
            while end > start, [0x20, 0x09, 0x0A, 0x0D].contains(bytes[end - 1]) { end -= 1 }
            guard end > start, depth == 0 else { throw Fault() }
            let json = Array(bytes[start..<end])
            return Member(name: name, json: json, text: json == Array("null".utf8) ? "" : nil)
        }

        private mutating func skipString() throws(Fault) {
            position += 1
            while position < bytes.count, bytes[position] != UInt8(ascii: "\"") {
                position += bytes[position] == UInt8(ascii: "\\") ? 2 : 1
            }
            guard position < bytes.count else { throw Fault() }
            position += 1
        }

        mutating func string() throws(Fault) -> String {
            guard peek() == UInt8(ascii: "\"") else { throw Fault() }
            let start = position
            try skipString()
            var units: [UInt8] = []
            var index = start + 1
            while index < position - 1 {
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
                case UInt8(ascii: "u"): try appendScalar(&index, to: &units)
                default: units.append(kind)
                }
            }
            guard let text = String(validating: units, as: UTF8.self) else { throw Fault() }
            return text
        }

        /// Reads the digits after `\u`, and a second escape if the first is half of a pair.
        private func appendScalar(_ index: inout Int, to units: inout [UInt8]) throws(Fault) {
            var code = try hexadecimal(index)
            index += 4
            if code & 0xFC00 == 0xD800, index + 6 <= position - 1, bytes[index] == UInt8(ascii: "\\"),
                bytes[index + 1] == UInt8(ascii: "u")
            {
                let low = try hexadecimal(index + 2)
                if low & 0xFC00 == 0xDC00 {
                    code = 0x10000 + ((code & 0x3FF) << 10) + (low & 0x3FF)
                    index += 6
                }
            }
            units.append(contentsOf: String(Unicode.Scalar(code) ?? "\u{FFFD}").utf8)
        }

        private func hexadecimal(_ index: Int) throws(Fault) -> UInt32 {
            guard index + 4 <= position - 1,
                let code = UInt32(String(decoding: bytes[index..<index + 4], as: UTF8.self), radix: 16)
            else { throw Fault() }
            return code
        }
    }
}
