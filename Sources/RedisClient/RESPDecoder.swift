import NIOCore

/// Reads values of the Redis protocol from bytes that arrive in pieces of any size.
///
/// Every byte is looked at once however the pieces are cut: values that are complete but for their rest are kept on a
/// stack. What a peer can make us hold is bounded by `maximumBytes` for one top-level value and by `maximumDepth`.
struct RESPDecoder {
    /// Why reading cannot go on; the connection is of no use any more.
    enum Failure: Error, Hashable {
        /// A top-level value takes more bytes, or lies deeper, than allowed.
        case tooLong
        /// These bytes are not the protocol.
        case malformed(String)
    }

    private enum Aggregate {
        case array, set, push, map
        /// Data about the value that follows, which nobody asked for.
        case attribute
    }

    private struct Frame {
        let kind: Aggregate
        /// Elements still to come; keys and values of a map count each.
        var missing: Int
        var elements: [RESPValue] = []
    }

    private enum Text { case bulk, verbatim, error }

    /// Values may lie this deep in one another; replies of Redis itself are at most about 7 deep.
    static let maximumDepth = 32
    /// A line (a number, a simple string, an error) may be this long.
    static let maximumLineBytes = 64 << 10

    private let maximumBytes: Int
    private var buffer = ByteBuffer()
    /// How much of the unfinished line has been searched for its end.
    private var searched = 0
    private var expectedText: (kind: Text, length: Int)?
    private var frames: [Frame] = []
    /// Bytes of the current top-level value that have been consumed.
    private var consumed = 0

    init(maximumBytes: Int) { self.maximumBytes = maximumBytes }

    /// Takes in more bytes.
    mutating func append(_ bytes: ByteBuffer) {
        if buffer.readableBytes == 0 {
            buffer = bytes
        } else {
            var bytes = bytes
            buffer.discardReadBytes()
            buffer.writeBuffer(&bytes)
        }
    }

    /// The next complete top-level value; nil if more bytes are needed.
    mutating func next() throws(Failure) -> RESPValue? {
        while true {
            guard var value = try nextPart() else { return nil }
            while true {
                guard let frame = frames.indices.last else {
                    consumed = 0
                    return value
                }
                frames[frame].elements.append(value)
                frames[frame].missing -= 1
                if frames[frame].missing > 0 { break }
                guard let whole = finished(frames.removeLast()) else { break }
                value = whole
            }
        }
    }

    /// The next value without parts, or an aggregate without elements; nil if more bytes are needed.
    private mutating func nextPart() throws(Failure) -> RESPValue? {
        while true {
            if let text = expectedText {
                guard let value = try completeText(text.kind, length: text.length) else { return nil }
                expectedText = nil
                return value
            }
            guard let line = try nextLine() else { return nil }
            if let value = try begin(line) { return value }
        }
    }

    private mutating func nextLine() throws(Failure) -> ByteBufferView? {
        let view = buffer.readableBytesView
        guard let end = view.dropFirst(searched).firstIndex(of: UInt8(ascii: "\n")) else {
            searched = view.count
            if view.count > Self.maximumLineBytes { throw .malformed("a line without an end") }
            return nil
        }
        searched = 0
        let count = end - view.startIndex + 1
        guard count >= 3, view[end - 1] == UInt8(ascii: "\r") else {
            throw .malformed("a line without a carriage return")
        }
        try consume(count)
        buffer.moveReaderIndex(forwardBy: count)
        return view[view.startIndex..<(end - 1)]
    }

    /// Reads a line that begins a value; nil if the value, or its first element, is still to come.
    private mutating func begin(_ line: ByteBufferView) throws(Failure) -> RESPValue? {
        let rest = line.dropFirst()
        switch line[line.startIndex] {
        case UInt8(ascii: "+"): return .simple(String(decoding: rest, as: UTF8.self))
        case UInt8(ascii: "-"): return .error(Self.serverError(rest))
        case UInt8(ascii: ":"): return .integer(try Self.integer(rest))
        case UInt8(ascii: "$"): return try expectText(.bulk, rest)
        case UInt8(ascii: "="): return try expectText(.verbatim, rest)
        case UInt8(ascii: "!"): return try expectText(.error, rest)
        case UInt8(ascii: "*"): return try open(.array, rest)
        case UInt8(ascii: "~"): return try open(.set, rest)
        case UInt8(ascii: ">"): return try open(.push, rest)
        case UInt8(ascii: "%"): return try open(.map, rest)
        case UInt8(ascii: "|"): return try open(.attribute, rest)
        case UInt8(ascii: "_"): return .null
        case UInt8(ascii: "("): return .bigNumber(String(decoding: rest, as: UTF8.self))
        case UInt8(ascii: ","):
            guard let number = Double(String(decoding: rest, as: UTF8.self)) else { throw .malformed("a bad number") }
            return .double(number)
        case UInt8(ascii: "#"):
            guard rest.count == 1, let flag = rest.first, flag == UInt8(ascii: "t") || flag == UInt8(ascii: "f") else {
                throw .malformed("a truth value that is neither t nor f")
            }
            return .boolean(flag == UInt8(ascii: "t"))
        default: throw .malformed("an unknown type of value")
        }
    }

    // MARK: Strings

    private mutating func expectText(_ kind: Text, _ digits: ByteBufferView) throws(Failure) -> RESPValue? {
        let length = try Self.integer(digits)
        if length == -1, kind == .bulk { return .null }
        guard length >= 0 else { throw .malformed("a string of negative length") }
        // Said at once, so that nothing of a reply that is too long is held.
        guard length <= maximumBytes - consumed else { throw .tooLong }
        expectedText = (kind, Int(length))
        return nil
    }

    private mutating func completeText(_ kind: Text, length: Int) throws(Failure) -> RESPValue? {
        guard buffer.readableBytes >= length + 2 else { return nil }
        let start = buffer.readerIndex
        guard let text = buffer.getBytes(at: start, length: length),
            buffer.getInteger(at: start + length, as: UInt16.self) == 0x0D0A
        else { throw .malformed("a string that does not end where it should") }
        try consume(length + 2)
        buffer.moveReaderIndex(forwardBy: length + 2)
        switch kind {
        case .bulk: return .bulk(text)
        // Three letters for the format and a colon come first.
        case .verbatim: return .bulk(Array(text.dropFirst(4)))
        case .error: return .error(Self.serverError(text))
        }
    }

    // MARK: Aggregates

    private mutating func open(_ kind: Aggregate, _ digits: ByteBufferView) throws(Failure) -> RESPValue? {
        let count = try Self.integer(digits)
        if count == -1, kind == .array { return .null }
        guard count >= 0 else { throw .malformed("an array of negative length") }
        let parts: Int64 = kind == .map || kind == .attribute ? 2 : 1
        // No element takes less than three bytes.
        guard count <= Int64(maximumBytes - consumed) / (3 * parts), frames.count < Self.maximumDepth else {
            throw .tooLong
        }
        var frame = Frame(kind: kind, missing: Int(count * parts))
        if count == 0 { return finished(frame) }
        frame.elements.reserveCapacity(min(frame.missing, 64))
        frames.append(frame)
        return nil
    }

    private func finished(_ frame: Frame) -> RESPValue? {
        let elements = frame.elements
        switch frame.kind {
        case .array: return .array(elements)
        case .set: return .set(elements)
        case .push: return .push(elements)
        case .attribute: return nil
        case .map:
            return .map(
                stride(from: 0, to: elements.count, by: 2).map {
                    RESPMapEntry(key: elements[$0], value: elements[$0 + 1])
                })
        }
    }

    // MARK: Small parts

    private mutating func consume(_ count: Int) throws(Failure) {
        consumed += count
        if consumed > maximumBytes { throw .tooLong }
    }

    /// Errors are kept short: they go into logs.
    private static func serverError(_ line: some Collection<UInt8>) -> RedisServerError {
        RedisServerError(line: String(decoding: line.prefix(1_024), as: UTF8.self))
    }

    private static func integer(_ digits: ByteBufferView) throws(Failure) -> Int64 {
        var rest = digits
        let isNegative = rest.first == UInt8(ascii: "-")
        if isNegative || rest.first == UInt8(ascii: "+") { rest = rest.dropFirst() }
        var value: Int64 = 0
        guard !rest.isEmpty else { throw .malformed("a number without digits") }
        for byte in rest {
            guard byte >= 48, byte <= 57 else { throw .malformed("a number with other characters than digits") }
            let (tens, isTooLarge) = value.multipliedReportingOverflow(by: 10)
            let digit = Int64(byte &- 48)
            // Negative numbers are summed downwards, for the sake of the smallest.
            let (sum, overflows) =
                isNegative ? tens.subtractingReportingOverflow(digit) : tens.addingReportingOverflow(digit)
            guard !isTooLarge, !overflows else { throw .malformed("a number beyond 64 bits") }
            value = sum
        }
        return value
    }
}
