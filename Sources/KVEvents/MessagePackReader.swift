/// Reads MessagePack from front to back, value by value, without building a tree.
///
/// Total: any bytes give values or an error, never a trap. Nothing is reserved on the word of a length: an array that
/// claims more elements than there are bytes left is an error at once. Skipping a value counts what is still to come
/// instead of recursing, so nesting costs nothing.
///
/// Source: the MessagePack specification (github.com/msgpack/msgpack, `spec.md`).
public struct MessagePackReader: Sendable {
    /// Why bytes are not what they should be.
    public enum Defect: Error, Hashable, Sendable {
        /// They end inside a value.
        case truncated
        /// The next value is of another kind than asked for.
        case unexpectedKind
        /// The byte 0xC1, which starts no value.
        case unusedByte
    }

    private let bytes: [UInt8]
    /// Where the next value starts.
    public private(set) var position = 0

    /// Starts at the first byte.
    public init(_ bytes: [UInt8]) { self.bytes = bytes }

    /// Whether everything has been read.
    public var isAtEnd: Bool { position == bytes.count }

    /// Goes back to, or on to, a place where a value starts.
    public mutating func move(to position: Int) { self.position = min(max(position, 0), bytes.count) }

    // MARK: Values

    /// Reads the head of an array: how many values follow.
    public mutating func arrayCount() throws(Defect) -> Int {
        let head = try peek()
        switch head {
        case 0x90...0x9F: return try claimed(Int(head & 0x0F), headBytes: 1)
        case 0xDC: return try claimed(Int(try big(2, after: 1)), headBytes: 3)
        case 0xDD: return try claimed(Int(try big(4, after: 1)), headBytes: 5)
        default: throw .unexpectedKind
        }
    }

    /// Reads the head of a map: how many pairs follow.
    public mutating func mapCount() throws(Defect) -> Int {
        let head = try peek()
        switch head {
        case 0x80...0x8F: return try claimed(Int(head & 0x0F), headBytes: 1, each: 2)
        case 0xDE: return try claimed(Int(try big(2, after: 1)), headBytes: 3, each: 2)
        case 0xDF: return try claimed(Int(try big(4, after: 1)), headBytes: 5, each: 2)
        default: throw .unexpectedKind
        }
    }

    /// Whether the next value is a map.
    public var isMap: Bool { (try? peek()).map { (0x80...0x8F).contains($0) || $0 == 0xDE || $0 == 0xDF } ?? false }

    /// Whether the next value is nil. Reads it if so.
    public mutating func readNil() throws(Defect) -> Bool {
        guard try peek() == 0xC0 else { return false }
        position += 1
        return true
    }

    /// Reads an integer that fits into 64 bits without a sign.
    public mutating func unsigned() throws(Defect) -> UInt64 {
        let (bits, isNegative) = try integer()
        guard !isNegative else { throw .unexpectedKind }
        return bits
    }

    /// Reads an integer, whatever its sign, as its 64 bits in two's complement.
    public mutating func integerBits() throws(Defect) -> UInt64 { try integer().bits }

    /// Reads a float, or an integer as a float.
    public mutating func number() throws(Defect) -> Double {
        switch try peek() {
        case 0xCA:
            let bits = try big(4, after: 1)
            position += 5
            return Double(Float(bitPattern: UInt32(truncatingIfNeeded: bits)))
        case 0xCB:
            let bits = try big(8, after: 1)
            position += 9
            return Double(bitPattern: bits)
        default:
            let (bits, isNegative) = try integer()
            return isNegative ? Double(Int64(bitPattern: bits)) : Double(bits)
        }
    }

    /// Reads a string or binary value: its bytes.
    public mutating func octets() throws(Defect) -> ArraySlice<UInt8> {
        let head = try peek()
        let count: Int
        let headBytes: Int
        switch head {
        case 0xA0...0xBF: (count, headBytes) = (Int(head & 0x1F), 1)
        case 0xC4, 0xD9: (count, headBytes) = (Int(try big(1, after: 1)), 2)
        case 0xC5, 0xDA: (count, headBytes) = (Int(try big(2, after: 1)), 3)
        case 0xC6, 0xDB: (count, headBytes) = (Int(try big(4, after: 1)), 5)
        default: throw .unexpectedKind
        }
        let start = position + headBytes
        guard count <= bytes.count - start else { throw .truncated }
        position = start + count
        return bytes[start..<position]
    }

    /// Reads a string; ill-formed UTF-8 is repaired.
    public mutating func text() throws(Defect) -> String { String(decoding: try octets(), as: UTF8.self) }

    /// Reads past one value, with all that is in it, and tells its bytes.
    @discardableResult
    public mutating func skip() throws(Defect) -> ArraySlice<UInt8> {
        let start = position
        var left = 1
        while left > 0 {
            left -= 1
            left += try skipHead()
        }
        return bytes[start..<position]
    }

    // MARK: Parts

    /// Reads one value without its elements, and tells how many these are.
    private mutating func skipHead() throws(Defect) -> Int {
        let head = try peek()
        switch head {
        case 0x00...0x7F, 0xE0...0xFF, 0xC0, 0xC2, 0xC3: try advance(1)
        case 0x80...0x8F, 0xDE, 0xDF: return try mapCount() * 2
        case 0x90...0x9F, 0xDC, 0xDD: return try arrayCount()
        case 0xA0...0xBF, 0xC4...0xC6, 0xD9...0xDB: _ = try octets()
        case 0xC7: try advance(3 + Int(try big(1, after: 1)))
        case 0xC8: try advance(4 + Int(try big(2, after: 1)))
        case 0xC9: try advance(6 + Int(try big(4, after: 1)))
        case 0xCC, 0xD0: try advance(2)
        case 0xCD, 0xD1, 0xD4: try advance(3)
        case 0xD5: try advance(4)
        case 0xCA, 0xCE, 0xD2: try advance(5)
        case 0xD6: try advance(6)
        case 0xCB, 0xCF, 0xD3: try advance(9)
        case 0xD7: try advance(10)
        case 0xD8: try advance(18)
        default: throw .unusedByte
        }
        return 0
    }

    private mutating func integer() throws(Defect) -> (bits: UInt64, isNegative: Bool) {
        let head = try peek()
        switch head {
        case 0x00...0x7F:
            position += 1
            return (UInt64(head), false)
        case 0xE0...0xFF:
            position += 1
            return (UInt64(bitPattern: Int64(Int8(bitPattern: head))), true)
        case 0xCC...0xCF:
            let width = 1 << Int(head - 0xCC)
            let bits = try big(width, after: 1)
            position += 1 + width
            return (bits, false)
        case 0xD0...0xD3:
            let width = 1 << Int(head - 0xD0)
            let unused = UInt64(64 - 8 * width)
            let value = Int64(bitPattern: try big(width, after: 1) << unused) >> unused
            position += 1 + width
            return (UInt64(bitPattern: value), value < 0)
        default: throw .unexpectedKind
        }
    }

    private func peek() throws(Defect) -> UInt8 {
        guard position < bytes.count else { throw .truncated }
        return bytes[position]
    }

    private mutating func advance(_ count: Int) throws(Defect) {
        guard count <= bytes.count - position else { throw .truncated }
        position += count
    }

    /// The big-endian number of `width` bytes (8 at most) that lies `offset` bytes ahead.
    private func big(_ width: Int, after offset: Int) throws(Defect) -> UInt64 {
        guard width + offset <= bytes.count - position else { throw .truncated }
        var value: UInt64 = 0
        for index in (position + offset)..<(position + offset + width) { value = value << 8 | UInt64(bytes[index]) }
        return value
    }

    /// Reads the head of a collection whose elements take a byte each at least.
    private mutating func claimed(_ count: Int, headBytes: Int, each: Int = 1) throws(Defect) -> Int {
        guard count * each <= bytes.count - position - headBytes else { throw .truncated }
        position += headBytes
        return count
    }
}
