/// The lines of a file held as bytes, without their line ends (LF or CRLF), numbered from 1.
struct ByteLines: Sequence, IteratorProtocol {
    private let bytes: [UInt8]
    private var position = 0
    private var number = 0

    init(_ bytes: [UInt8]) {
        self.bytes = bytes
        if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { position = 3 }
    }

    mutating func next() -> (number: Int, text: ArraySlice<UInt8>)? {
        guard position < bytes.count else { return nil }
        let end = bytes[position...].firstIndex(of: UInt8(ascii: "\n")) ?? bytes.count
        var text = bytes[position..<end]
        if text.last == UInt8(ascii: "\r") { text.removeLast() }
        position = end + 1
        number += 1
        return (number, text)
    }
}

/// Numbers in ASCII, read without Foundation.
enum ASCIINumber {
    /// A non-negative whole number of at most 15 digits; nil for anything else.
    static func whole(_ text: some Collection<UInt8>) -> Int? {
        guard !text.isEmpty, text.count <= 15 else { return nil }
        var value = 0
        for byte in text {
            guard byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") else { return nil }
            value = value * 10 + Int(byte - UInt8(ascii: "0"))
        }
        return value
    }

    /// A non-negative number with or without a decimal part; nil for anything else.
    static func decimal(_ text: some Collection<UInt8>) -> Double? {
        let parts = text.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard let first = parts.first, parts.count <= 2, let units = whole(first) else { return nil }
        guard parts.count == 2 else { return Double(units) }
        guard let fraction = whole(parts[1]) else { return nil }
        return Double(units) + Double(fraction) / decimalPower(parts[1].count)
    }

    private static func decimalPower(_ digits: Int) -> Double {
        (0..<digits).reduce(1.0) { power, _ in power * 10 }
    }
}

extension Sequence<UInt8> {
    /// The bytes as text, for error messages; at most 40 of them.
    var excerpt: String { String(decoding: Array(prefix(40)), as: UTF8.self) }
}
