/// Where a JSON value stands: how many containers are open around it and which of them are arrays.
struct JSONPlace {
    /// The number of open containers; a member of the top-level object has depth 1.
    var depth: Int
    /// One bit for each open container, innermost lowest: 1 for an array, 0 for an object.
    var arrays: UInt128

    /// Whether the innermost open container is an array, so that the value has no key.
    var isInArray: Bool { arrays & 1 == 1 }
}

/// The three words of JSON.
enum JSONLiteral: UInt8 {
    case `true`, `false`, null

    /// How it is written.
    var spelling: StaticString {
        switch self {
        case .true: "true"
        case .false: "false"
        case .null: "null"
        }
    }
}

/// What a visitor wants to know about a string that begins.
enum JSONStringUse: UInt8 {
    /// Its length only.
    case measure
    /// Its text, unescaped, up to `JSONTokenizer.captureLimitBytes`.
    case capture
    /// Its bytes, unescaped, as they pass.
    case feed
}

/// Receives what a `JSONTokenizer` sees, in document order.
protocol JSONVisitor {
    /// A key ended; nil when it is longer than any key that matters.
    mutating func key(_ text: UnsafeRawBufferPointer?, at place: JSONPlace)
    /// A string value begins with the quote at `offset` of the document.
    mutating func stringBegins(offset: Int, at place: JSONPlace) -> JSONStringUse
    /// Bytes of a string value whose use is `feed`, unescaped; a run may be cut anywhere.
    mutating func stringBytes(_ run: UnsafeRawBufferPointer)
    /// A string value ended before `endOffset`; `text` is nil unless it was captured and short enough.
    mutating func stringEnds(_ text: UnsafeRawBufferPointer?, utf8Length: Int, endOffset: Int, at place: JSONPlace)
    /// A number ended; nil when it is not written as an integer that fits `Int`.
    mutating func number(_ integer: Int?, at place: JSONPlace)
    /// A word ended.
    mutating func literal(_ literal: JSONLiteral, at place: JSONPlace)
    /// A container begins; `place` is where it stands, not its inside.
    mutating func opens(array: Bool, at place: JSONPlace)
    /// A container ended; `place` is where it stood.
    mutating func closes(array: Bool, at place: JSONPlace)
}
