import InferenceAPI

/// Which headers of a message go out with its request.
///
/// Producers are not trusted: they must not choose their own priority, speak with somebody else's credentials, or break the
/// framing of the connection.
public struct ProducerHeaderRule: Hashable, Sendable {
    /// What becomes of one header.
    enum Verdict: Hashable {
        case pass
        case leaveOut
        /// Nothing that could be sent.
        case illegal
    }

    /// The names, in lower case, that are passed on; nil for all that are not forbidden.
    public var names: Set<String>?
    /// Whether a producer's `Authorization` is passed on, for gateways that ask for the user's own credentials.
    public var passesAuthorization: Bool

    /// Creates a rule; names may be in any case.
    public init(names: [String]? = nil, passesAuthorization: Bool = false) {
        self.names = names.map { Set($0.map { $0.lowercased() }) }
        self.passesAuthorization = passesAuthorization
    }

    /// What becomes of a header; `lowercasedName` is in lower case.
    func verdict(lowercasedName name: String, value: String) -> Verdict {
        guard Self.isName(name), Self.isValue(value) else { return .illegal }
        if name == HeaderName.contentType { return .pass }
        if Self.forbidden.contains(name) || HeaderName.isControl(name) { return .leaveOut }
        if name == HeaderName.authorization { return passesAuthorization ? .pass : .leaveOut }
        return names?.contains(name) ?? true ? .pass : .leaveOut
    }

    /// What concerns a connection (RFC 9110 section 7.6.1), the form of the body, or what only Weir can know.
    private static let forbidden: Set<String> = [
        "host", "content-length", "connection", "transfer-encoding", "keep-alive", "te", "trailer", "upgrade", "expect",
        "proxy-connection", "proxy-authenticate", "proxy-authorization", "http2-settings", "accept-encoding",
        "content-encoding", "cookie", "forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto",
        "x-real-ip", HeaderName.traceParent, HeaderName.traceState, "baggage",
    ]

    /// Whether a field name is one (RFC 9110 section 5.6.2).
    static func isName(_ name: String) -> Bool {
        !name.isEmpty
            && name.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"):
                    true
                default: "!#$%&'*+-.^_`|~".utf8.contains(byte)
                }
            }
    }

    /// Whether a field value is one: visible characters, spaces and tabs, and bytes beyond ASCII.
    static func isValue(_ value: String) -> Bool {
        value.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7F || $0 == 0x09 }
    }
}
