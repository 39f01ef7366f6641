/// Writes JSON text straight into bytes, without a tree and without Foundation.
public struct JSONWriter: Sendable {
    /// The text so far.
    public private(set) var bytes: [UInt8] = []
    private var needsComma = false

    /// Starts an empty text.
    public init() {}

    /// An object; `key` names it inside another object and is nil elsewhere.
    public mutating func object(_ key: String? = nil, _ body: (inout JSONWriter) -> Void) {
        enclosed(key, UInt8(ascii: "{"), UInt8(ascii: "}"), body)
    }

    /// An array; `key` names it inside an object and is nil elsewhere.
    public mutating func array(_ key: String? = nil, _ body: (inout JSONWriter) -> Void) {
        enclosed(key, UInt8(ascii: "["), UInt8(ascii: "]"), body)
    }

    /// A string; `key` is nil inside an array, here and below.
    public mutating func value(_ key: String?, _ text: String) {
        begin(key)
        quoted(text)
    }

    /// An integer.
    public mutating func value(_ key: String?, _ number: Int) {
        begin(key)
        bytes.append(contentsOf: String(number).utf8)
    }

    /// A number; what JSON has no word for (infinities, NaN) becomes null.
    public mutating func value(_ key: String?, _ number: Double) {
        begin(key)
        bytes.append(contentsOf: (number.isFinite ? ExpositionText.number(number) : "null").utf8)
    }

    /// A truth value.
    public mutating func value(_ key: String?, _ flag: Bool) {
        begin(key)
        bytes.append(contentsOf: (flag ? "true" : "false").utf8)
    }

    /// A string, or nothing at all.
    public mutating func value(_ key: String, ifPresent text: String?) {
        if let text { value(key, text) }
    }

    /// An integer, or nothing at all.
    public mutating func value(_ key: String, ifPresent number: Int?) {
        if let number { value(key, number) }
    }

    /// A number, or nothing at all.
    public mutating func value(_ key: String, ifPresent number: Double?) {
        if let number { value(key, number) }
    }

    private mutating func enclosed(
        _ key: String?, _ opening: UInt8, _ closing: UInt8, _ body: (inout JSONWriter) -> Void
    ) {
        begin(key)
        bytes.append(opening)
        needsComma = false
        body(&self)
        bytes.append(closing)
        needsComma = true
    }

    private mutating func begin(_ key: String?) {
        if needsComma { bytes.append(UInt8(ascii: ",")) }
        needsComma = true
        guard let key else { return }
        quoted(key)
        bytes.append(UInt8(ascii: ":"))
    }

    private mutating func quoted(_ text: String) {
        bytes.append(UInt8(ascii: "\""))
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\""): bytes.append(contentsOf: "\\\"".utf8)
            case UInt8(ascii: "\\"): bytes.append(contentsOf: "\\\\".utf8)
            case UInt8(ascii: "\n"): bytes.append(contentsOf: "\\n".utf8)
            case 0..<0x20:
                let digits = Array("0123456789abcdef".utf8)
                bytes.append(contentsOf: "\\u00".utf8)
                bytes.append(digits[Int(byte >> 4)])
                bytes.append(digits[Int(byte & 15)])
            default: bytes.append(byte)
            }
        }
        bytes.append(UInt8(ascii: "\""))
    }
}
