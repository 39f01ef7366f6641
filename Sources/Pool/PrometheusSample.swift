/// One sample line of a metrics page, whose labels are read only when asked for.
///
/// Borrows the page: valid only inside the closure that receives it.
public struct PrometheusSample {
    /// The value; may be infinite or not a number.
    public let value: Double
    private let labels: UnsafeRawBufferPointer

    /// Values are at most this long; the longest sensible spelling of a double has about 25 bytes.
    private static let valueLimitBytes = 64

    /// Parses a line whose metric name has been found; nil if it has no well-formed labels and value.
    init?(line: UnsafeRawBufferPointer, nameLength: Int) {
        var position = nameLength
        Self.skipSpaces(line, &position)
        if position < line.count, line[position] == UInt8(ascii: "{") {
            position += 1
            let start = position
            guard Self.skipLabels(line, &position) else { return nil }
            labels = UnsafeRawBufferPointer(rebasing: line[start..<position])
            position += 1
            Self.skipSpaces(line, &position)
        } else {
            labels = UnsafeRawBufferPointer(start: nil, count: 0)
        }
        let start = position
        while position < line.count, line[position] != 0x20, line[position] != 0x09 { position += 1 }
        guard position > start, position - start <= Self.valueLimitBytes,
            let number = Double(String(decoding: line[start..<position], as: UTF8.self))
        else { return nil }
        value = number
    }

    /// Whether the label `name` has exactly this value.
    public func hasLabel(_ name: String, value: String) -> Bool {
        rawLabel(name).map { Self.unescaped($0, equals: value) } ?? false
    }

    /// The value of a label, unescaped; nil if the sample has no such label.
    public func label(_ name: String) -> String? {
        guard let raw = rawLabel(name) else { return nil }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(raw.count)
        Self.forEachUnescapedByte(raw) { bytes.append($0) }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// The bytes between the quotes of a label's value.
    private func rawLabel(_ name: String) -> UnsafeRawBufferPointer? {
        var position = 0
        while position < labels.count {
            while position < labels.count, labels[position] == 0x20 || labels[position] == UInt8(ascii: ",") {
                position += 1
            }
            let nameStart = position
            while position < labels.count, labels[position] != UInt8(ascii: "="), labels[position] != 0x20 {
                position += 1
            }
            let nameEnd = position
            while position < labels.count, labels[position] != UInt8(ascii: "\"") { position += 1 }
            guard position < labels.count else { return nil }
            position += 1
            let valueStart = position
            guard Self.skipToQuote(labels, &position) else { return nil }
            if labels[nameStart..<nameEnd].elementsEqual(name.utf8) {
                return UnsafeRawBufferPointer(rebasing: labels[valueStart..<position])
            }
            position += 1
        }
        return nil
    }

    private static func skipSpaces(_ line: UnsafeRawBufferPointer, _ position: inout Int) {
        while position < line.count, line[position] == 0x20 || line[position] == 0x09 { position += 1 }
    }

    /// Moves from behind `{` to the `}` that closes it; braces inside quotes do not count.
    private static func skipLabels(_ line: UnsafeRawBufferPointer, _ position: inout Int) -> Bool {
        while position < line.count {
            switch line[position] {
            case UInt8(ascii: "}"): return true
            case UInt8(ascii: "\""):
                position += 1
                guard skipToQuote(line, &position) else { return false }
            default: break
            }
            position += 1
        }
        return false
    }

    /// Moves to the next quote that no backslash precedes.
    private static func skipToQuote(_ bytes: UnsafeRawBufferPointer, _ position: inout Int) -> Bool {
        while position < bytes.count {
            if bytes[position] == UInt8(ascii: "\"") { return true }
            position += bytes[position] == UInt8(ascii: "\\") ? 2 : 1
        }
        return false
    }

    private static func unescaped(_ raw: UnsafeRawBufferPointer, equals text: String) -> Bool {
        var expected = text.utf8.makeIterator()
        var isEqual = true
        forEachUnescapedByte(raw) { byte in
            if expected.next() != byte { isEqual = false }
        }
        return isEqual && expected.next() == nil
    }

    /// The format escapes `\\`, `\"` and `\n` in label values; other escaped characters stand for themselves.
    private static func forEachUnescapedByte(_ raw: UnsafeRawBufferPointer, _ body: (UInt8) -> Void) {
        var position = 0
        while position < raw.count {
            if raw[position] == UInt8(ascii: "\\"), position + 1 < raw.count {
                position += 1
                body(raw[position] == UInt8(ascii: "n") ? 0x0A : raw[position])
            } else {
                body(raw[position])
            }
            position += 1
        }
    }
}
