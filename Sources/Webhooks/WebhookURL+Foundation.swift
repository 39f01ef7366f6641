import Foundation

extension WebhookURL {
    /// Whether Foundation, with which the HTTP client reads URLs, sees the same host, port and path: what the allow-list was
    /// asked about must be what is asked for.
    var isReadAlikeByFoundation: Bool {
        guard let url = URL(string: description),
            let components = URLComponents(url: url, resolvingAgainstBaseURL: true)
        else { return false }
        return components.percentEncodedPath == path && !url.path.isEmpty && components.port == port
            && url.host()?.lowercased() == host
    }
}
