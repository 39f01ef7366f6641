public import Basics

extension Configuration {
    /// Results that are posted to those who asked for it.
    public struct Webhooks: Hashable, Sendable {
        /// Where results may be posted; empty refuses every webhook.
        public var allow: [WebhookPrefix] = []
        /// What posts are signed with; never nil in a configuration from a file that allows webhooks.
        public var secret: Secret?
        /// A result that could not be delivered for so long after its request finished is given up.
        public var giveUpAfter = TimeSpan.seconds(86_400)
        /// Longest time for one post.
        public var timeout = TimeSpan.seconds(10)

        /// Creates the defaults.
        public init() {}

        /// The secret has at least this many characters.
        public static let shortestSecret = 24
    }
}

extension Configuration.Webhooks: Section {
    static var fields: [Field<Self>] {
        [
            .list(
                "allow", \.allow, .webhookPrefix,
                "Where results may be posted, such as `https://hooks.example.com/weir/`: scheme, host and port match exactly, "
                    + "the path is where the webhook's path begins. Without any, webhooks are refused."),
            .optional(
                "secret", \.secret, .secret(minimumCharacters: shortestSecret),
                "What posts are signed with (HMAC-SHA256): `whsec_` and a key in base64, or any text. Required with `allow`; "
                    + "best written as `${NAME}`; never printed."
            ),
            .scalar(
                "giveUpAfter", \.giveUpAfter, .positiveDuration,
                "A post that has failed for so long after its request finished is given up; the result stays in the queue."
            ),
            .scalar("timeout", \.timeout, .positiveDuration, "Longest time for one post, connecting included."),
        ]
    }
}

/// The beginning of the URLs to which results may be posted.
public struct WebhookPrefix: Hashable, Sendable, CustomStringConvertible {
    /// Whether posts are encrypted: `https`, or else `http`.
    public var isSecure: Bool
    /// A host name in lower case, IPv4 address or IPv6 address without brackets.
    public var host: String
    /// The TCP port.
    public var port: Int
    /// What paths begin with: `/`, or whole segments of a path.
    public var path: String

    /// Reads a URL without credentials, query or fragment; nil if the text is something else.
    public init?(_ text: String) {
        guard let colon = text.firstRange(of: "://") else { return nil }
        switch text[..<colon.lowerBound] {
        case "https": isSecure = true
        case "http": isSecure = false
        default: return nil
        }
        let rest = text[colon.upperBound...]
        let authority = rest.prefix { $0 != "/" }
        let hasPort = authority.last != "]" && authority.contains(":")
        guard
            let address = ListenAddress(hasPort ? String(authority) : "\(authority):\(isSecure ? 443 : 80)"),
            address.port > 0,
            address.host.utf8.allSatisfy({ byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"),
                    UInt8(ascii: "."), UInt8(ascii: ":"), UInt8(ascii: "_"):
                    true
                default: false
                }
            })
        else { return nil }
        host = address.host
        port = address.port
        let path = rest.dropFirst(authority.count)
        // Paths are compared as they are written; these would make one path have several spellings.
        let segments = path.split(separator: "/", omittingEmptySubsequences: false).dropFirst().dropLast()
        let isPlain = path.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F && !"%?#\\".utf8.contains($0) }
        guard isPlain, segments.allSatisfy({ !$0.isEmpty }), !path.split(separator: "/").contains(where: Self.isDots)
        else { return nil }
        self.path = path.isEmpty ? "/" : String(path)
    }

    private static func isDots(_ segment: Substring) -> Bool { segment == "." || segment == ".." }

    /// The URL, with the port unless it is the scheme's own.
    public var description: String {
        let name = host.contains(":") ? "[\(host)]" : host
        return "\(isSecure ? "https" : "http")://\(name)\(port == (isSecure ? 443 : 80) ? "" : ":\(port)")\(path)"
    }
}

extension ScalarFormat where Value == WebhookPrefix {
    static var webhookPrefix: Self {
        Self(
            "URL", expectation: "a URL such as https://hooks.example.com/weir/, with a host in lower case",
            parse: { WebhookPrefix($0) }, print: { $0.description })
    }
}
