/// The text of a short JSON string that does not lie in one piece: unescaped, joined, and bounded.
struct TokenText {
    /// More than this is not kept.
    static let limitBytes = 512

    /// What has been kept.
    private(set) var bytes: [UInt8] = []
    /// Whether anything has been appended since the string began.
    private(set) var isInUse = false
    /// Whether the text was longer than the limit, so that `bytes` has gaps.
    private(set) var isTooLong = false
    private var highSurrogate: UInt32 = 0

    /// Begins another string.
    mutating func begin() {
        isInUse = false
        isTooLong = false
        highSurrogate = 0
    }

    /// Appends a run of bytes that holds no escape.
    mutating func append(_ run: UnsafeRawBufferPointer) {
        use()
        if run.isEmpty { return }
        replaceHighSurrogate()
        if bytes.count &+ run.count > Self.limitBytes {
            isTooLong = true
        } else {
            bytes.append(contentsOf: run)
        }
    }

    /// Appends the UTF-16 unit of an escape, joining surrogate pairs.
    mutating func append(utf16 unit: UInt32) {
        use()
        switch unit {
        case 0xDC00...0xDFFF where highSurrogate != 0:
            let scalar = 0x10000 &+ (highSurrogate &- 0xD800) &<< 10 &+ (unit &- 0xDC00)
            highSurrogate = 0
            append(scalar: scalar)
        case 0xD800...0xDBFF:
            replaceHighSurrogate()
            highSurrogate = unit
        default:
            replaceHighSurrogate()
            append(scalar: 0xDC00...0xDFFF ~= unit ? 0xFFFD : unit)
        }
    }

    /// Moves the finished text out, so that it can be read while the owner of this value changes.
    mutating func takeBytes() -> [UInt8] {
        replaceHighSurrogate()
        var taken: [UInt8] = []
        swap(&taken, &bytes)
        return taken
    }

    /// Gives the storage of `takeBytes` back for the next string.
    mutating func recycle(_ storage: consuming [UInt8]) { bytes = storage }

    private mutating func use() {
        if isInUse { return }
        isInUse = true
        bytes.removeAll(keepingCapacity: true)
    }

    /// Replaces a high surrogate that no low one followed, as every Unicode decoder does.
    private mutating func replaceHighSurrogate() {
        guard highSurrogate != 0 else { return }
        highSurrogate = 0
        append(scalar: 0xFFFD)
    }

    private mutating func append(scalar: UInt32) {
        if bytes.count &+ JSONText.utf8Length(of: scalar) > Self.limitBytes {
            isTooLong = true
        } else {
            JSONText.appendUTF8(scalar, to: &bytes)
        }
    }
}
