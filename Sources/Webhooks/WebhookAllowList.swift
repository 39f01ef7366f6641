/// Where results may be posted: the beginnings of URLs that the operator trusts.
public struct WebhookAllowList: Hashable, Sendable {
    /// The beginning of URLs that are allowed.
    public struct Prefix: Hashable, Sendable {
        let isSecure: Bool
        let host: String
        let port: Int
        let path: String

        /// Allows URLs with this scheme, host (lower case, IPv6 without brackets) and port whose path is `path` or goes on
        /// behind it with a further segment.
        public init(isSecure: Bool, host: String, port: Int, path: String) {
            self.isSecure = isSecure
            self.host = host
            self.port = port
            self.path = path
        }

        fileprivate func covers(_ url: WebhookURL) -> Bool {
            guard url.isSecure == isSecure, url.host == host, url.port == port else { return false }
            return url.path == path || url.path.hasPrefix(path.hasSuffix("/") ? path : path + "/")
        }
    }

    private let prefixes: [Prefix]

    /// Allows what any of the prefixes covers; nothing without one.
    public init(_ prefixes: [Prefix]) { self.prefixes = prefixes }

    /// The URL that `text` stands for, if results may be posted there; throws why not.
    public func permit(_ text: String) throws(WebhookRefusal) -> WebhookURL {
        guard !prefixes.isEmpty else { throw WebhookRefusal("webhooks are not allowed here") }
        let url = try WebhookURL(text)
        guard prefixes.contains(where: { $0.covers(url) }) else {
            throw WebhookRefusal("posting results to this webhook is not allowed")
        }
        return url
    }
}
