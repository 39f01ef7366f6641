/// The text of a JSON number, read digit by digit and kept only as the integer it spells.
struct IntegerText {
    private var magnitude: Int = 0
    private var isNegative = false
    private var isInteger = true
    private var length = 0
    private var hasDigit = false

    /// The value, or nil when the text has a fraction or an exponent, or does not fit.
    var integer: Int? { isInteger && hasDigit ? (isNegative ? 0 &- magnitude : magnitude) : nil }

    /// Takes one byte; false when it is no part of a number.
    @inline(__always)
    mutating func append(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"):
            hasDigit = true
            let (scaled, overflowed) = magnitude.multipliedReportingOverflow(by: 10)
            let (sum, overflowedAgain) = scaled.addingReportingOverflow(Int(byte &- UInt8(ascii: "0")))
            magnitude = sum
            if overflowed || overflowedAgain { isInteger = false }
        case UInt8(ascii: "-") where length == 0:
            isNegative = true
        default:
            guard Self.mayContinue(with: byte) else { return false }
            isInteger = false
        }
        length &+= 1
        return true
    }

    /// Whether a byte other than a digit can stand inside a number.
    @inline(__always)
    static func mayContinue(with byte: UInt8) -> Bool {
        byte == UInt8(ascii: ".") || byte | 0x20 == UInt8(ascii: "e") || byte == UInt8(ascii: "+")
            || byte == UInt8(ascii: "-")
    }
}
