/// Writes JSON text straight into a byte array.
public enum JSONText {
    /// Appends `text` as a JSON string, quotes included, with everything escaped that RFC 8259 says must be.
    ///
    /// U+2028, U+2029 and other non-ASCII characters are left as UTF-8, which every JSON reader accepts.
    public static func appendString(_ text: some StringProtocol, to output: inout [UInt8]) {
        output.append(UInt8(ascii: "\""))
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"):
                output.append(UInt8(ascii: "\\"))
                output.append(byte)
            case 0x08: appendEscape("b", to: &output)
            case 0x09: appendEscape("t", to: &output)
            case 0x0A: appendEscape("n", to: &output)
            case 0x0C: appendEscape("f", to: &output)
            case 0x0D: appendEscape("r", to: &output)
            case 0x00...0x1F, 0x7F:
                output.append(contentsOf: "\\u00".utf8)
                output.append(hexadecimalDigit(byte >> 4))
                output.append(hexadecimalDigit(byte & 0xF))
            default:
                output.append(byte)
            }
        }
        output.append(UInt8(ascii: "\""))
    }

    /// Appends `text` as a JSON string, or `null`.
    public static func appendOptionalString(_ text: String?, to output: inout [UInt8]) {
        if let text {
            appendString(text, to: &output)
        } else {
            output.append(contentsOf: "null".utf8)
        }
    }

    /// The number of UTF-8 bytes that encode a scalar value.
    static func utf8Length(of scalar: UInt32) -> Int {
        switch scalar {
        case ..<0x80: 1
        case ..<0x800: 2
        case ..<0x10000: 3
        default: 4
        }
    }

    /// Appends the UTF-8 encoding of a scalar value.
    static func appendUTF8(_ scalar: UInt32, to output: inout [UInt8]) {
        func continuation(_ shift: UInt32) -> UInt8 { UInt8(0x80 | (scalar >> shift) & 0x3F) }
        switch utf8Length(of: scalar) {
        case 1: output.append(UInt8(scalar))
        case 2: output.append(contentsOf: [UInt8(0xC0 | scalar >> 6), continuation(0)])
        case 3: output.append(contentsOf: [UInt8(0xE0 | scalar >> 12), continuation(6), continuation(0)])
        default:
            output.append(UInt8(0xF0 | (scalar >> 18) & 0x07))
            output.append(contentsOf: [continuation(12), continuation(6), continuation(0)])
        }
    }

    /// The UTF-8 encoding of a scalar value, its first byte lowest.
    static func utf8Word(of scalar: UInt32) -> UInt32 {
        func continuation(_ shift: UInt32) -> UInt32 { 0x80 | (scalar >> shift) & 0x3F }
        switch utf8Length(of: scalar) {
        case 1: return scalar
        case 2: return (0xC0 | scalar >> 6) | continuation(0) << 8
        case 3: return (0xE0 | scalar >> 12) | continuation(6) << 8 | continuation(0) << 16
        default:
            return (0xF0 | (scalar >> 18) & 0x07) | continuation(12) << 8 | continuation(6) << 16
                | continuation(0) << 24
        }
    }

    /// The character that a backslash and `byte` stand for; nil if that is no escape, or begins one of four digits.
    @inline(__always)
    static func character(ofEscape byte: UInt8) -> UInt32? {
        switch byte {
        case UInt8(ascii: "n"): 0x0A
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): UInt32(byte)
        case UInt8(ascii: "t"): 0x09
        case UInt8(ascii: "r"): 0x0D
        case UInt8(ascii: "b"): 0x08
        case UInt8(ascii: "f"): 0x0C
        default: nil
        }
    }

    /// The value of a hexadecimal digit in either case.
    static func hexadecimalValue(of byte: UInt8) -> UInt32? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt32(byte - UInt8(ascii: "0"))
        case UInt8(ascii: "a")...UInt8(ascii: "f"): UInt32(byte - UInt8(ascii: "a")) + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): UInt32(byte - UInt8(ascii: "A")) + 10
        default: nil
        }
    }

    /// The value of four hexadecimal digits, nil if one of them is none.
    static func hexadecimalValue(ofFour digits: UnsafeRawBufferPointer) -> UInt32? {
        var value: UInt32 = 0
        for byte in digits {
            guard let digit = hexadecimalValue(of: byte) else { return nil }
            value = value << 4 | digit
        }
        return value
    }

    private static func hexadecimalDigit(_ nibble: UInt8) -> UInt8 {
        nibble < 10 ? UInt8(ascii: "0") + nibble : UInt8(ascii: "a") + nibble - 10
    }

    private static func appendEscape(_ letter: Unicode.Scalar, to output: inout [UInt8]) {
        output.append(UInt8(ascii: "\\"))
        output.append(UInt8(ascii: letter))
    }
}
