/// Where a Redis or Valkey server is, and as whom to log in.
///
/// Printing an address never shows the password.
public struct RedisAddress: Hashable, Sendable {
    /// The port if the URL names none.
    public static let defaultPort = 6379

    /// A name or an IP address, without brackets.
    public var host: String
    /// The TCP port.
    public var port: Int
    /// Whether to speak TLS (`rediss://`).
    public var usesTLS: Bool
    /// The ACL user; nil stands for the server's user `default`.
    public var user: String?
    /// The password; nil if the server asks for none.
    public var password: String?
    /// The number of the database.
    public var database: Int

    /// Creates an address from its parts.
    public init(
        host: String, port: Int = RedisAddress.defaultPort, usesTLS: Bool = false, user: String? = nil,
        password: String? = nil, database: Int = 0
    ) {
        self.host = host
        self.port = port
        self.usesTLS = usesTLS
        self.user = user
        self.password = password
        self.database = database
    }

    /// Reads `redis://` or `rediss://` `[user:password@]host[:port][/database]`.
    ///
    /// User and password may be percent-encoded; `:password@` means the user `default`. An IPv6 address stands in brackets.
    public init(_ url: String) throws(RedisAddressError) {
        guard let scheme = url.firstRange(of: "://") else { throw .noScheme }
        switch url[..<scheme.lowerBound].lowercased() {
        case "redis": usesTLS = false
        case "rediss": usesTLS = true
        default: throw .unknownScheme
        }
        var rest = url[scheme.upperBound...]

        database = 0
        if rest.contains(where: { $0 == "?" || $0 == "#" }) { throw .unexpectedQuery }
        // The last `@`: a password that was not percent-encoded may hold one, and may hold a slash too.
        if let at = rest.lastIndex(of: "@") {
            (user, password) = try Self.credentials(rest[..<at])
            rest = rest[rest.index(after: at)...]
        }
        if let slash = rest.firstIndex(of: "/") {
            let number = rest[rest.index(after: slash)...]
            if !number.isEmpty {
                guard let value = Int(number), value >= 0 else { throw .invalidDatabase }
                database = value
            }
            rest = rest[..<slash]
        }
        (host, port) = try Self.hostAndPort(rest)
    }

    private static func credentials(
        _ text: Substring
    ) throws(RedisAddressError) -> (user: String?, password: String?) {
        guard let colon = text.firstIndex(of: ":") else { throw .noPassword }
        let user = try percentDecoded(text[..<colon])
        let password = try percentDecoded(text[text.index(after: colon)...])
        return (user.isEmpty ? nil : user, password.isEmpty ? nil : password)
    }

    private static func hostAndPort(_ text: Substring) throws(RedisAddressError) -> (String, Int) {
        var host = text
        var portText: Substring?
        if text.first == "[" {
            guard let end = text.firstIndex(of: "]") else { throw .invalidHost }
            host = text[text.index(after: text.startIndex)..<end]
            let behind = text[text.index(after: end)...]
            guard behind.isEmpty || behind.first == ":" else { throw .invalidHost }
            portText = behind.isEmpty ? nil : behind.dropFirst()
        } else if let colon = text.lastIndex(of: ":") {
            host = text[..<colon]
            portText = text[text.index(after: colon)...]
            guard !host.contains(":") else { throw .invalidHost }
        }
        guard !host.isEmpty, !host.contains(where: \.isWhitespace) else { throw .invalidHost }
        guard let portText else { return (String(host), defaultPort) }
        guard let port = Int(portText), (1...65_535).contains(port) else { throw .invalidPort }
        return (String(host), port)
    }

    private static func percentDecoded(_ text: Substring) throws(RedisAddressError) -> String {
        var bytes: [UInt8] = []
        var rest = text.utf8[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            let digits = rest.prefix(2)
            guard digits.count == 2, let value = UInt8(String(decoding: digits, as: UTF8.self), radix: 16) else {
                throw .invalidPercentEncoding
            }
            bytes.append(value)
            rest = rest.dropFirst(2)
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}

extension RedisAddress: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    /// The address as a URL without the password.
    public var description: String {
        let name = user.map { "\($0)@" } ?? ""
        let place = host.contains(":") ? "[\(host)]" : host
        return "\(usesTLS ? "rediss" : "redis")://\(name)\(place):\(port)\(database == 0 ? "" : "/\(database)")"
    }

    /// The address as a URL without the password.
    public var debugDescription: String { description }

    /// Shows the description only, so that a dump of a configuration holds no password.
    public var customMirror: Mirror { Mirror(self, children: ["address": description]) }
}

/// What is wrong with the URL of a Redis server; the texts do not quote the URL, which may hold a password.
public enum RedisAddressError: String, Error, Hashable, Sendable, CustomStringConvertible {
    /// There is no `://`.
    case noScheme = "a Redis URL begins with redis:// or rediss://"
    /// The scheme is something else.
    case unknownScheme = "the scheme of a Redis URL is redis or rediss (with TLS)"
    /// There is a query or a fragment.
    case unexpectedQuery = "a Redis URL has no query and no fragment; write ? as %3F and # as %23 in a password"
    /// There is a name before the `@` but no password.
    case noPassword = "a Redis URL gives user and password as user:password@, or the password alone as :password@"
    /// The host is missing or malformed.
    case invalidHost = "a Redis URL names a host; an IPv6 address stands in brackets"
    /// The port is not a port.
    case invalidPort = "the port of a Redis URL is a number from 1 to 65535"
    /// The database is not a number.
    case invalidDatabase = "the path of a Redis URL is the number of the database, 0 or more"
    /// A `%` is not followed by two hexadecimal digits.
    case invalidPercentEncoding = "a % in user or password of a Redis URL is followed by two hexadecimal digits"

    /// The error as a sentence.
    public var description: String { rawValue }
}
