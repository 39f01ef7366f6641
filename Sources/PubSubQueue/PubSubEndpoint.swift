/// Where a Pub/Sub service listens.
public struct PubSubEndpoint: Hashable, Sendable, CustomStringConvertible {
    /// The name or address of the host.
    public var host: String
    /// The TCP port.
    public var port: Int
    /// Whether the connection is encrypted; emulators speak HTTP/2 in the clear.
    public var usesTLS: Bool

    /// The variable that names an emulator, as Google's client libraries read it.
    public static let emulatorVariable = "PUBSUB_EMULATOR_HOST"
    /// Google's service, wherever the caller is.
    public static let google = PubSubEndpoint(host: "pubsub.googleapis.com", port: 443, usesTLS: true)

    /// Names an endpoint.
    public init(host: String, port: Int, usesTLS: Bool) {
        self.host = host
        self.port = port
        self.usesTLS = usesTLS
    }

    /// Reads `host`, `host:port`, `[address]:port`, or one of these behind `https://` or `http://`; without a scheme
    /// the connection is encrypted, and without a port it is 443, or 80 behind `http://`.
    public init(_ text: String) throws(PubSubError) {
        var rest = Substring(text)
        var usesTLS = true
        if rest.hasPrefix("https://") {
            rest = rest.dropFirst(8)
        } else if rest.hasPrefix("http://") {
            rest = rest.dropFirst(7)
            usesTLS = false
        }
        if rest.hasSuffix("/") { rest = rest.dropLast() }
        var host = rest
        var port: Int? = usesTLS ? 443 : 80
        let digits = rest.reversed().prefix { $0.isASCII && $0.isNumber }
        let name = rest.dropLast(digits.count)
        if !digits.isEmpty, name.hasSuffix(":"), name.hasSuffix("]:") || !name.dropLast().contains(":") {
            host = name.dropLast()
            port = Int(String(digits.reversed()))
        }
        if host.hasPrefix("["), host.hasSuffix("]") { host = host.dropFirst().dropLast() }
        guard let port, (1...65_535).contains(port), !host.isEmpty,
            host.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "/") && $0 != UInt8(ascii: "@") })
        else {
            throw PubSubError(
                .invalid, place: text, detail: "write the endpoint as host:port, for example 127.0.0.1:8085")
        }
        self.init(host: String(host), port: port, usesTLS: usesTLS)
    }

    /// The emulator that `PUBSUB_EMULATOR_HOST` names; nil if it names none.
    public static func emulator(
        environment: [String: String]
    ) throws(PubSubError) -> PubSubEndpoint? {
        guard let text = environment[emulatorVariable], !text.isEmpty else { return nil }
        return try PubSubEndpoint(text.contains("://") ? text : "http://" + text)
    }

    /// As `host:port`.
    public var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}

/// How to reach a Pub/Sub service, and as whom.
public struct PubSubConnectionSettings: Sendable {
    /// Where it listens.
    public var endpoint: PubSubEndpoint
    /// Where the calls' tokens come from; nil sends none, which is right for an emulator.
    public var tokens: (any AccessTokenSource)?
    /// The project that pays for the calls and whose quota they use, if it is not the one of the credentials.
    public var userProject: String?
    /// A file of certificates in PEM to trust instead of the system's.
    public var trustedCertificatesFile: String?

    /// Names an endpoint and who calls it.
    public init(
        endpoint: PubSubEndpoint = .google, tokens: (any AccessTokenSource)? = nil, userProject: String? = nil,
        trustedCertificatesFile: String? = nil
    ) {
        self.endpoint = endpoint
        self.tokens = tokens
        self.userProject = userProject
        self.trustedCertificatesFile = trustedCertificatesFile
    }
}
