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
    private var surrogates = SurrogateJoiner()

    /// Begins another string.
    mutating func begin() {
        isInUse = false
        isTooLong = false
        surrogates = SurrogateJoiner()
    }

    /// Appends a run of bytes that holds no escape.
    mutating func append(_ run: UnsafeRawBufferPointer) {
        use()
        if run.isEmpty { return }
        if surrogates.flush() { append(scalar: 0xFFFD) }
        if bytes.count &+ run.count > Self.limitBytes {
            isTooLong = true
        } else {
            bytes.append(contentsOf: run)
        }
    }

    /// Appends the UTF-16 unit of an escape, joining surrogate pairs.
    mutating func append(utf16 unit: UInt32) {
        use()
        let (isBroken, scalar) = surrogates.append(unit)
        if isBroken { append(scalar: 0xFFFD) }
        if let scalar { append(scalar: scalar) }
    }

    /// Moves the finished text out, so that it can be read while the owner of this value changes.
    mutating func takeBytes() -> [UInt8] {
        if surrogates.flush() { append(scalar: 0xFFFD) }
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

    private mutating func append(scalar: UInt32) {
        if bytes.count &+ JSONText.utf8Length(of: scalar) > Self.limitBytes {
            isTooLong = true
        } else {
            JSONText.appendUTF8(scalar, to: &bytes)
        }
    }
}
