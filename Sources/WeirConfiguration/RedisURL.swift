/// The address of a Redis or Valkey server: `redis[s]://[user[:password]@]host[:port][/database]`.
///
/// Printing it, in whatever way, shows three asterisks for the password.
public struct RedisURL: Hashable, Sendable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    /// The text, password included, for whoever connects.
    public let secret: Secret
    /// Whether it is spoken to over TLS: `rediss`, or else `redis`.
    public let isSecure: Bool
    /// Whether the text holds a password.
    public let hasPassword: Bool
    /// The text with three asterisks for the password.
    public let description: String

    /// Reads an address; nil if the text is something else.
    public init?(_ text: String) {
        guard let url = try? RedisURL(parsing: text) else { return nil }
        self = url
    }

    /// Like `init?(_:)`, saying what is wrong without repeating any of the text, which may hold a password.
    init(parsing text: String) throws(ScalarFault) {
        let unusable = ScalarFault(message: "expected a URL such as redis://host:6379 or rediss://user:password@host/0")
        guard let colon = text.firstRange(of: "://") else { throw unusable }
        switch text[..<colon.lowerBound].lowercased() {
        case "rediss": isSecure = true
        case "redis": isSecure = false
        default: throw unusable
        }
        let rest = text[colon.upperBound...]
        // A password may hold any of the other separators; what follows its @ holds none.
        let place = rest.lastIndex(of: "@").map { rest[rest.index(after: $0)...] } ?? rest
        let authority = place.prefix { $0 != "/" }
        let database = place.dropFirst(authority.count).dropFirst()
        let hasPort = authority.last != "]" && authority.contains(":")
        guard let address = ListenAddress(hasPort ? String(authority) : "\(authority):6379"), address.port > 0 else {
            throw unusable
        }
        guard database.isEmpty || Int(database).map({ $0 >= 0 }) == true else {
            throw ScalarFault(message: "what follows the host must be the number of a database, such as /0")
        }
        guard text.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else {
            throw ScalarFault(message: "must be printable ASCII; write %20 and the like in a password")
        }
        secret = Secret(text)
        let credentials = rest.dropLast(place.count).dropLast()
        hasPassword = credentials.contains(":")
        description =
            hasPassword
            ? "\(text[..<colon.upperBound])\(credentials.prefix { $0 != ":" }):\(Secret.mask)@\(place)" : text
    }

    /// The text with three asterisks for the password.
    public var debugDescription: String { description }

    /// Shows nothing, so that dumping a configuration does not print the text.
    public var customMirror: Mirror { Mirror(self, children: []) }
}

extension ScalarFormat where Value == RedisURL {
    static var redisURL: Self {
        Self(
            name: "Redis URL, secret", isSecret: true,
            parse: { text throws(ScalarFault) in try RedisURL(parsing: text) }, print: { $0.description })
    }
}
