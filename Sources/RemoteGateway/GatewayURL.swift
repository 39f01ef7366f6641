/// Where a gateway is: scheme, host, port, and a path that all of its paths are below.
///
/// Messages may name a path of their own, and messages come from outside. So paths are only ever appended, and one that
/// could be read as leading elsewhere is refused: whatever a message says, its request goes to this host and stays below this
/// path.
public struct GatewayURL: Hashable, Sendable, CustomStringConvertible {
    /// Whether the gateway is spoken to with TLS: `https`, or else `http`.
    public let isSecure: Bool
    /// Host name, IPv4 address, or IPv6 address in brackets; with the port, if one is given.
    public let authority: String
    /// The path that all others are appended to; without a slash at its end, empty if there is none.
    public let basePath: String

    /// A URL, or a path, may be this long, in bytes.
    public static let maximumBytes = 8192

    /// Reads an absolute `http` or `https` URL without credentials, query and fragment.
    public init(_ text: String) throws(RemoteGatewayError) {
        func fault(_ detail: String) -> RemoteGatewayError { .badURL(detail) }
        guard text.utf8.count <= Self.maximumBytes, text.utf8.allSatisfy(Self.isURLByte) else {
            throw fault("it is too long, or has characters that must be percent-encoded")
        }
        let scheme = text.prefix { $0 != ":" }
        switch scheme.lowercased() {
        case "https": isSecure = true
        case "http": isSecure = false
        default: throw fault("it must begin with http:// or https://")
        }
        let afterScheme = text.dropFirst(scheme.count)
        guard afterScheme.hasPrefix("://") else { throw fault("it must begin with http:// or https://") }
        let rest = afterScheme.dropFirst(3)
        let authority = rest.prefix { $0 != "/" && $0 != "?" }
        guard !authority.contains("@") else {
            throw fault("it must not contain credentials; there is a setting for the token")
        }
        guard Self.isAuthority(authority) else { throw fault("its host or port is missing or malformed") }
        var path = rest.dropFirst(authority.count)
        guard !path.contains("?") else { throw fault("it must not have a query") }
        guard Self.isPlain(path) else {
            throw fault("its path must not contain \"..\", backslashes or encoded slashes")
        }
        while path.last == "/" { path.removeLast() }
        self.authority = String(authority)
        basePath = String(path)
    }

    /// The URL of a path below this one; nil if the path, which is a message's, could lead elsewhere or is no path at all.
    public func appending(_ path: String) -> String? {
        let plain = path.utf8.prefix { $0 != UInt8(ascii: "?") }
        guard path.utf8.count <= Self.maximumBytes, path.utf8.allSatisfy(Self.isURLByte),
            Self.isPlain(Substring(plain))
        else { return nil }
        let relative = path.drop { $0 == "/" }
        return "\(self)/\(relative)"
    }

    /// The URL of a path of the gateway's own, which lies at its root: what is below the base path is for model servers.
    func root(_ path: String) -> String { "\(isSecure ? "https" : "http")://\(authority)\(path)" }

    /// The URL, without a slash at its end.
    public var description: String { "\(isSecure ? "https" : "http")://\(authority)\(basePath)" }

    /// What RFC 3986 lets stand in a URL as it is; no `#`, which begins what is not sent.
    private static func isURLByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"):
            true
        default: "-._~:/?[]@!$&'()*+,;=%".utf8.contains(byte)
        }
    }

    private static func isAuthority(_ text: Substring) -> Bool {
        let host: Substring
        if text.first == "[" {
            guard let end = text.firstIndex(of: "]") else { return false }
            let address = text[text.index(after: text.startIndex)..<end]
            guard !address.isEmpty, address.allSatisfy({ $0.isHexDigit || $0 == ":" || $0 == "." }) else {
                return false
            }
            host = text[...end]
        } else {
            host = text.prefix { $0 != ":" }
            guard !host.isEmpty, host.utf8.allSatisfy(isHostByte) else { return false }
        }
        let port = text.dropFirst(host.count)
        guard !port.isEmpty else { return true }
        return port.first == ":" && UInt16(port.dropFirst()).map { $0 > 0 } == true
    }

    private static func isHostByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"):
            true
        default: false
        }
    }

    /// Whether no reader can take the path for one that leads upwards.
    private static func isPlain(_ path: Substring) -> Bool {
        // Nearly every path is free of all that would have to be looked at more closely.
        guard path.utf8.contains(where: { $0 == UInt8(ascii: "%") || $0 == UInt8(ascii: ".") }) else { return true }
        let lower = path.lowercased()
        guard hasSoundEscapes(lower) else { return false }
        for forbidden in ["%2f", "%5c", "%00", "%0a", "%0d"] where lower.contains(forbidden) { return false }
        return !lower.split(separator: "/").contains { segment in
            let decoded = segment.split(separator: "%2e", omittingEmptySubsequences: false).joined(separator: ".")
            return decoded == ".." || decoded == "."
        }
    }

    private static func hasSoundEscapes(_ text: String) -> Bool {
        let pieces = text.split(separator: "%", omittingEmptySubsequences: false).dropFirst()
        return pieces.allSatisfy { $0.count >= 2 && $0.prefix(2).allSatisfy { $0.isASCII && $0.isHexDigit } }
    }
}
