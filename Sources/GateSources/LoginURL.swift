import Foundation

/// A URL of a server, apart from the user and password that it may hold: those belong into a header.
struct LoginURL {
    /// The URL without them.
    let plain: String
    let user: String?
    let password: String

    /// Nil if it is no URL with `http` or `https` and a host.
    init?(_ text: String) {
        guard var parts = URLComponents(string: text), ["http", "https"].contains(parts.scheme?.lowercased()),
            let host = parts.host, !host.isEmpty
        else { return nil }
        user = parts.user
        password = parts.password ?? ""
        parts.user = nil
        parts.password = nil
        guard let plain = parts.string else { return nil }
        self.plain = plain
    }

    /// The header that logs in.
    var authorization: String? { user.map { Self.basic(user: $0, password: password) } }

    /// Basic authentication (RFC 7617).
    static func basic(user: String, password: String) -> String {
        "Basic " + Data("\(user):\(password)".utf8).base64EncodedString()
    }
}
