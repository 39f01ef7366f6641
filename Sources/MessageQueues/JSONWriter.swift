public import Basics

/// Writes one JSON object, members in the order of the calls: how messages, results and what is told of them are written.
public struct JSONWriter: Sendable {
    private(set) var bytes: [UInt8]
    private var isFirst = true

    /// Opens an object; `capacity` is a guess at its size in bytes.
    public init(capacity: Int = 256) {
        bytes = []
        bytes.reserveCapacity(capacity)
        bytes.append(UInt8(ascii: "{"))
    }

    /// Closes the object and returns its bytes.
    public consuming func finish() -> [UInt8] {
        bytes.append(UInt8(ascii: "}"))
        return bytes
    }

    /// A string.
    public mutating func member(_ key: StaticString, _ value: String) {
        open(key)
        append(quoted: value.utf8)
    }

    /// A whole number.
    public mutating func member(_ key: StaticString, _ value: Int) {
        open(key)
        bytes.append(contentsOf: String(value).utf8)
    }

    /// Seconds since the Unix epoch with up to three decimals.
    public mutating func member(_ key: StaticString, _ value: Instant) {
        open(key)
        let milliseconds = (value.nanoseconds + 500_000) / 1_000_000
        let (seconds, rest) = milliseconds.quotientAndRemainder(dividingBy: 1000)
        bytes.append(contentsOf: String(seconds).utf8)
        if rest > 0 { bytes.append(contentsOf: ".\(String(rest + 1000).dropFirst())".utf8) }
    }

    /// Seconds since the Unix epoch with as many decimals as it takes; not for instants before the epoch.
    mutating func member(_ key: StaticString, exactly value: Instant) {
        open(key)
        let (seconds, rest) = value.nanoseconds.quotientAndRemainder(dividingBy: 1_000_000_000)
        bytes.append(contentsOf: String(seconds).utf8)
        guard rest > 0 else { return }
        let digits = String(rest + 1_000_000_000).utf8.dropFirst()
        let last = digits.lastIndex { $0 != UInt8(ascii: "0") } ?? digits.startIndex
        bytes.append(UInt8(ascii: "."))
        bytes.append(contentsOf: digits[...last])
    }

    /// A value that is JSON already.
    public mutating func member(_ key: StaticString, json value: [UInt8]) {
        open(key)
        bytes.append(contentsOf: value)
    }

    /// True or false.
    public mutating func member(_ key: StaticString, _ value: Bool) {
        open(key)
        bytes.append(contentsOf: (value ? "true" : "false").utf8)
    }

    /// A value that is JSON already, without the line ends of a pretty-printed one. Strings in JSON have none that are not
    /// escaped, so these are all between tokens.
    public mutating func member(_ key: StaticString, onOneLine value: [UInt8]) {
        open(key)
        let lineEnds = [UInt8(ascii: "\n"), UInt8(ascii: "\r")]
        guard value.contains(where: lineEnds.contains) else { return bytes.append(contentsOf: value) }
        bytes.append(contentsOf: value.lazy.map { lineEnds.contains($0) ? UInt8(ascii: " ") : $0 })
    }

    /// Values that are JSON already, as an array.
    public mutating func member(_ key: StaticString, array values: [[UInt8]]) {
        open(key)
        bytes.append(UInt8(ascii: "["))
        for (index, value) in values.enumerated() {
            if index > 0 { bytes.append(UInt8(ascii: ",")) }
            bytes.append(contentsOf: value)
        }
        bytes.append(UInt8(ascii: "]"))
    }

    /// Bytes that must be valid UTF-8, as a string.
    mutating func member(_ key: StaticString, text: [UInt8]) {
        open(key)
        append(quoted: text)
    }

    /// An object of strings with sorted keys.
    public mutating func member(_ key: StaticString, _ map: [String: String]) {
        open(key)
        bytes.append(contentsOf: Self.object(map))
    }

    mutating func member(_ key: StaticString, _ object: consuming JSONWriter) {
        open(key)
        bytes.append(contentsOf: object.finish())
    }

    /// A map as an object with sorted keys.
    static func object(_ map: [String: String]) -> [UInt8] {
        var writer = JSONWriter(capacity: 64)
        for (key, value) in map.sorted(by: { $0.key < $1.key }) {
            writer.separate()
            writer.append(quoted: key.utf8)
            writer.bytes.append(UInt8(ascii: ":"))
            writer.append(quoted: value.utf8)
        }
        return writer.finish()
    }

    private mutating func open(_ key: StaticString) {
        separate()
        append(quoted: UnsafeBufferPointer(start: key.utf8Start, count: key.utf8CodeUnitCount))
        bytes.append(UInt8(ascii: ":"))
    }

    private mutating func separate() {
        if !isFirst { bytes.append(UInt8(ascii: ",")) }
        isFirst = false
    }

    private mutating func append(quoted text: some Sequence<UInt8>) {
        bytes.append(UInt8(ascii: "\""))
        for byte in text {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"):
                bytes.append(UInt8(ascii: "\\"))
                bytes.append(byte)
            case 0x0A: bytes.append(contentsOf: "\\n".utf8)
            case 0x0D: bytes.append(contentsOf: "\\r".utf8)
            case 0x09: bytes.append(contentsOf: "\\t".utf8)
            case 0..<0x20:
                let digits = String(byte, radix: 16)
                bytes.append(contentsOf: (byte < 0x10 ? "\\u000" : "\\u00").utf8)
                bytes.append(contentsOf: digits.utf8)
            default: bytes.append(byte)
            }
        }
        bytes.append(UInt8(ascii: "\""))
    }
}
