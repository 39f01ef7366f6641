/// Why a body is not acceptable as the JSON object it should be, and where.
public struct JSONDefect: Error, Hashable, Sendable, CustomStringConvertible {
    /// The sort of defect.
    public enum Kind: Hashable, Sendable {
        /// The body does not begin with `{`.
        case notAnObject
        /// The body ended before its object did.
        case truncated
        /// Something other than white space follows the object.
        case trailingBytes
        /// This byte cannot stand where it stands.
        case unexpectedByte(UInt8)
        /// Objects and arrays nest deeper than Weir follows.
        case tooDeep
        /// The value of `model` is longer than any model name may be.
        case modelTooLong
    }

    /// The sort of defect.
    public let kind: Kind
    /// The offset in the body, in bytes from its beginning, at which it was noticed.
    public let offset: Int

    /// Creates a defect noticed at a byte offset.
    public init(kind: Kind, offset: Int) {
        self.kind = kind
        self.offset = offset
    }

    /// A clause that completes "the request body ...", for error messages.
    public var description: String {
        switch kind {
        case .notAnObject: "must be a JSON object, but does not begin with '{' (byte \(offset))"
        case .truncated: "ends before its JSON object is complete (after byte \(offset))"
        case .trailingBytes: "has something after its JSON object (byte \(offset))"
        case .unexpectedByte(let byte): "is not valid JSON: unexpected \(Self.name(of: byte)) at byte \(offset)"
        case .tooDeep: "nests objects and arrays deeper than \(JSONTokenizer.depthLimit) levels (byte \(offset))"
        case .modelTooLong: "names a model longer than \(JSONTokenizer.captureLimitBytes) bytes"
        }
    }

    private static func name(of byte: UInt8) -> String {
        guard byte > 0x20, byte < 0x7F else { return "byte 0x" + String(byte, radix: 16, uppercase: true) }
        return "'\(Character(Unicode.Scalar(byte)))'"
    }
}
