import Foundation

/// A server with Prometheus' HTTP API that gates ask, and how to log in there.
public struct PrometheusServer: Sendable {
    /// What is sent as `Authorization`.
    public enum Authorization: Sendable {
        /// Nothing.
        case none
        /// A bearer token.
        case bearer(String)
        /// A bearer token in a file, read anew for every question, because such files are renewed in place.
        case bearerFile(path: String)
        /// A name and a password.
        case basic(user: String, password: String)
        /// A bearer token that something else keeps fresh, such as Google's for its managed Prometheus.
        case provider(@Sendable () async throws -> String)
    }

    /// The URL below which the API lies, without `/api/v1/query`, user and password.
    public let url: String
    /// How to log in.
    public var authorization: Authorization
    /// A PEM file with the authorities to trust; nil for those of the system.
    public var authorityFile: String?
    /// Accepts any certificate. The connection is encrypted, but whoever sits in between can read it.
    public var insecureSkipVerify = false

    /// Reads a URL such as `http://prometheus:9090` or `https://user:password@host/prefix`.
    public init(_ url: String) throws(GateSourceError) {
        guard let parts = LoginURL(url),
            URLComponents(string: url).map({ $0.query == nil && $0.fragment == nil }) == true
        else { throw GateSourceError("the URL of a Prometheus server is http:// or https://host[:port][/path]") }
        authorization = parts.user.map { .basic(user: $0, password: parts.password) } ?? .none
        var plain = parts.plain
        while plain.hasSuffix("/") { plain.removeLast() }
        self.url = plain
    }

    /// The value of the header, if there is one.
    func authorizationHeader() async throws(GateSourceError) -> String? {
        switch authorization {
        case .none: return nil
        case .bearer(let token): return "Bearer " + token
        case .bearerFile(let path):
            guard let data = FileManager.default.contents(atPath: path), data.count <= 64 << 10 else {
                throw GateSourceError("the file with Prometheus' bearer token, \(path), cannot be read")
            }
            let token = String(decoding: data, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
            return "Bearer " + token
        case .basic(let user, let password):
            return LoginURL.basic(user: user, password: password)
        case .provider(let token):
            do {
                return "Bearer " + (try await token())
            } catch {
                throw GateSourceError("there is no token for Prometheus: \(String("\(error)".prefix(300)))")
            }
        }
    }
}

/// Why a gate's source could not be asked; a sentence without secrets.
public struct GateSourceError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The sentence.
    public let description: String

    init(_ sentence: String) { description = sentence }
}
