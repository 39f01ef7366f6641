/// An absolute `http` or `https` URL that results can be posted to, read so that it means one thing only.
///
/// Allow-lists are got around with URLs that two parsers read differently. This one is strict: what it does not fully
/// understand it refuses, and posts go to the URL put together from its parts, never to the text that came in.
public struct WebhookURL: Hashable, Sendable, CustomStringConvertible {
    /// Whether posts are encrypted: `https`, or else `http`.
    public let isSecure: Bool
    /// A host name in lower case, IPv4 address or IPv6 address without brackets.
    public let host: String
    /// The TCP port.
    public let port: Int
    /// The path; at least `/`.
    public let path: String
    /// What follows the question mark; nil without one.
    public let query: String?

    /// A URL may be this long, in bytes.
    public static let maximumBytes = 2048

    /// Reads a URL; throws what is wrong with it.
    public init(_ text: String) throws(WebhookRefusal) {
        guard text.utf8.count <= Self.maximumBytes else {
            throw WebhookRefusal("the webhook's URL is longer than \(Self.maximumBytes) bytes")
        }
        guard text.utf8.allSatisfy(Self.isURLByte) else {
            throw WebhookRefusal("the webhook's URL has characters that must be percent-encoded, or a fragment")
        }
        let scheme = text.prefix { $0 != ":" }
        switch scheme.lowercased() {
        case "https": isSecure = true
        case "http": isSecure = false
        default: throw WebhookRefusal("the webhook must be an absolute http or https URL")
        }
        let afterScheme = text.dropFirst(scheme.count)
        guard afterScheme.hasPrefix("://") else {
            throw WebhookRefusal("the webhook must be an absolute http or https URL")
        }
        let rest = afterScheme.dropFirst(3)
        let authority = rest.prefix { $0 != "/" && $0 != "?" }
        guard !authority.contains("@") else { throw WebhookRefusal("the webhook's URL must not contain credentials") }
        (host, port) = try Self.hostAndPort(authority, standardPort: isSecure ? 443 : 80)
        let target = rest.dropFirst(authority.count)
        let path = target.prefix { $0 != "?" }
        guard Self.hasSoundEscapes(target), Self.isPlain(path) else {
            throw WebhookRefusal("the webhook's path must not contain \".\", \"..\" or encoded slashes")
        }
        guard !path.contains("["), !path.contains("]"), Self.isUTF8(path) else {
            throw WebhookRefusal("the webhook's path must not contain brackets, or escapes that are not UTF-8")
        }
        self.path = path.isEmpty ? "/" : String(path)
        query = path.count < target.count ? String(target.dropFirst(path.count + 1)) : nil
    }

    /// Host and port, with brackets around an IPv6 address: what limits on one receiver are kept by.
    public var authority: String { "\(host.contains(":") ? "[\(host)]" : host):\(port)" }

    /// The URL, always with its port.
    public var description: String {
        "\(isSecure ? "https" : "http")://\(authority)\(path)\(query.map { "?\($0)" } ?? "")"
    }

    private static func hostAndPort(
        _ authority: Substring, standardPort: Int
    ) throws(WebhookRefusal) -> (String, Int) {
        var host: Substring
        var port: Substring?
        if authority.hasPrefix("[") {
            host = authority.dropFirst().prefix { $0 != "]" }
            let tail = authority.dropFirst(host.count + 1)
            guard tail.hasPrefix("]"), tail.count == 1 || tail.dropFirst().hasPrefix(":"), host.contains(":"),
                host.allSatisfy({ $0.isHexDigit || $0 == ":" || $0 == "." })
            else { throw WebhookRefusal("the webhook's host is not valid") }
            port = tail.count == 1 ? nil : tail.dropFirst(2)
        } else {
            host = authority.prefix { $0 != ":" }
            port = host.count == authority.count ? nil : authority.dropFirst(host.count + 1)
            guard !host.isEmpty, host.utf8.allSatisfy(isHostByte) else {
                throw WebhookRefusal("the webhook's host is not valid")
            }
        }
        guard let port else { return (host.lowercased(), standardPort) }
        guard (1...5).contains(port.count), port.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
            let number = Int(port), (1...65_535).contains(number)
        else { throw WebhookRefusal("the webhook's port is not valid") }
        return (host.lowercased(), number)
    }

    /// Whether every `%` begins a byte in hexadecimal digits.
    private static func hasSoundEscapes(_ text: Substring) -> Bool {
        text.split(separator: "%", omittingEmptySubsequences: false).dropFirst().allSatisfy { tail in
            tail.prefix(2).count == 2 && tail.prefix(2).allSatisfy(\.isHexDigit)
        }
    }

    /// Whether the bytes that the path stands for are UTF-8: some parsers drop one that is not. The escapes are sound.
    private static func isUTF8(_ path: Substring) -> Bool {
        var bytes: [UInt8] = []
        var rest = path.utf8[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            guard let escaped = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16) else { return false }
            bytes.append(escaped)
            rest = rest.dropFirst(2)
        }
        return String(validating: bytes, as: UTF8.self) != nil
    }

    /// Whether no server could take the path for another one: none of its segments climbs, not even in disguise.
    private static func isPlain(_ path: Substring) -> Bool {
        let lower = path.lowercased()
        let hidden = ["%2f", "%5c", "%00", "%25"]
        guard !hidden.contains(where: { lower.contains($0) }) else { return false }
        return lower.replacing("%2e", with: ".").split(separator: "/").allSatisfy { segment in
            // Some servers cut parameters off before they look at a segment.
            let name = segment.prefix { $0 != ";" }
            return name != "." && name != ".."
        }
    }

    /// Letters, digits, and the marks that RFC 3986 allows in a path or query, with those of the authority.
    private static func isURLByte(_ byte: UInt8) -> Bool {
        isHostByte(byte) || "~%!$&'()*+,;=:@/?[]".utf8.contains(byte)
    }

    private static func isHostByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"):
            true
        default: "-._".utf8.contains(byte)
        }
    }
}

/// Why a result is not posted somewhere, in a sentence for the one who asked for it.
public struct WebhookRefusal: Error, Hashable, CustomStringConvertible {
    /// The sentence.
    public let description: String

    init(_ description: String) { self.description = description }
}
