/// The root of an HTTP service: scheme, host, port, and a path that the paths of requests are added to.
public struct ServiceURL: Hashable, Sendable, CustomStringConvertible {
    /// Whether it is spoken to over TLS: `https`, or else `http`.
    public var isSecure: Bool
    /// A host name in lower case, IPv4 address or IPv6 address without brackets.
    public var host: String
    /// The TCP port.
    public var port: Int
    /// Empty, or a path that begins with a slash and does not end with one.
    public var path: String

    /// Creates a URL from its parts.
    public init(isSecure: Bool, host: String, port: Int, path: String = "") {
        self.isSecure = isSecure
        self.host = host
        self.port = port
        self.path = path
    }

    /// Reads `http[s]://host[:port][/path]`; nil if the text is something else, or has credentials, a query or a fragment.
    public init?(_ text: String) {
        guard let url = try? ServiceURL(parsing: text) else { return nil }
        self = url
    }

    /// Like `init?(_:)`, saying what is wrong without repeating credentials that the text contains.
    init(parsing text: String) throws(ScalarFault) {
        let found = text.contains("@") ? "" : ", found \(ScalarFault.quoted(text))"
        let unusable = ScalarFault(message: "expected a URL such as http://gateway:8080 or https://host/path\(found)")
        guard let colon = text.firstRange(of: "://") else { throw unusable }
        switch text[..<colon.lowerBound].lowercased() {
        case "https": isSecure = true
        case "http": isSecure = false
        default: throw unusable
        }
        let rest = text[colon.upperBound...]
        guard !rest.contains("@") else { throw ScalarFault(message: "a URL here must not contain credentials") }
        guard !rest.contains("?"), !rest.contains("#") else {
            throw ScalarFault(message: "a URL here must not contain a query or a fragment\(found)")
        }
        let authority = rest.prefix { $0 != "/" }
        let hasPort = authority.last != "]" && authority.contains(":")
        guard let address = ListenAddress(hasPort ? String(authority) : "\(authority):\(isSecure ? 443 : 80)"),
            address.port > 0, !rest.contains(where: \.isWhitespace)
        else { throw unusable }
        host = address.host.lowercased()
        port = address.port
        var path = rest.dropFirst(authority.count)
        while path.last == "/" { path = path.dropLast() }
        self.path = String(path)
    }

    /// The URL, with the port unless it is the scheme's own.
    public var description: String {
        let name = host.contains(":") ? "[\(host)]" : host
        return "\(isSecure ? "https" : "http")://\(name)\(port == (isSecure ? 443 : 80) ? "" : ":\(port)")\(path)"
    }
}

extension ScalarFormat where Value == ServiceURL {
    static var serviceURL: Self {
        Self(
            name: "URL", parse: { text throws(ScalarFault) in try ServiceURL(parsing: text) },
            print: { $0.description })
    }

    /// The root of a server: a URL without a path.
    static var serverURL: Self {
        Self(
            name: "URL without a path",
            parse: { text throws(ScalarFault) in
                let url = try ServiceURL(parsing: text)
                guard url.path.isEmpty else { throw ScalarFault(message: "leave out \"\(url.path)\"") }
                return url
            },
            print: { $0.description })
    }
}
