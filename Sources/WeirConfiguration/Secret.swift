/// Text that must not be seen: a key or a signing secret. Printing it, in whatever way, gives three asterisks.
public struct Secret: Hashable, Sendable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    /// The text itself.
    public let value: String

    /// Wraps a text.
    public init(_ value: String) { self.value = value }

    /// What stands in the place of the text.
    public static let mask = "***"

    /// Three asterisks.
    public var description: String { Self.mask }

    /// Three asterisks.
    public var debugDescription: String { Self.mask }

    /// Shows nothing, so that dumping a configuration does not print the text.
    public var customMirror: Mirror { Mirror(self, children: []) }
}

extension ScalarFormat where Value == Secret {
    /// A secret of at least so many characters that can stand in a header field. No complaint repeats any of it.
    static func secret(minimumCharacters: Int) -> Self {
        Self(
            name: minimumCharacters > 1 ? "secret, at least \(minimumCharacters) characters" : "secret", isSecret: true,
            parse: { text throws(ScalarFault) in
                guard text.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else {
                    throw ScalarFault(message: "must be printable ASCII without spaces")
                }
                guard text.utf8.count >= minimumCharacters else {
                    throw ScalarFault(
                        message: minimumCharacters > 1
                            ? "must have at least \(minimumCharacters) characters, found \(text.utf8.count)"
                            : "must not be empty")
                }
                return Secret(text)
            },
            print: { _ in Secret.mask })
    }
}
