/// What a request's path asks for.
public enum InferencePath: Hashable, Sendable {
    /// `/v1/chat/completions`
    case chatCompletions
    /// `/v1/completions`
    case completions
    /// `/v1/embeddings`
    case embeddings
    /// `/v1/responses`
    case responses
    /// `/v1/models`, the list
    case models
    /// Any other path under `/v1/`, handed to a model server as it is
    case passthrough
    /// Not a path that Weir serves
    case none

    /// Classifies a request target; the query string and a trailing slash make no difference.
    ///
    /// Paths with `.` or `..` segments, plain or percent-encoded, are `none`: a model server that resolves them must not
    /// be led out of `/v1/`.
    public init(target: String) {
        // Nearly every target is one of these as it stands.
        if let known = Self.wellKnown(target) {
            self = known
            return
        }
        var path = target.prefix { $0 != "?" && $0 != "#" }
        if path.utf8.count > 1, path.hasSuffix("/") { path.removeLast() }
        let plain = String(path)
        self = Self.wellKnown(plain) ?? (plain.hasPrefix("/v1/") && !Self.mayClimb(plain) ? .passthrough : .none)
    }

    private static func wellKnown(_ path: String) -> InferencePath? {
        switch path {
        case "/v1/chat/completions": .chatCompletions
        case "/v1/completions": .completions
        case "/v1/embeddings": .embeddings
        case "/v1/responses": .responses
        case "/v1/models": .models
        default: nil
        }
    }

    /// Whether the body is a JSON object that must name a model.
    public var needsModel: Bool {
        switch self {
        case .chatCompletions, .completions, .embeddings, .responses: true
        case .models, .passthrough, .none: false
        }
    }

    /// Whether some reader could take a segment of the path for `.` or `..`.
    private static func mayClimb(_ path: String) -> Bool {
        let plain = path.lowercased()
        if plain.contains("%2f") || plain.contains("%5c") || plain.contains("\\") { return true }
        return plain.split(separator: "/", omittingEmptySubsequences: true).contains { segment in
            let decoded = segment.split(separator: "%2e", omittingEmptySubsequences: false).joined(separator: ".")
            return decoded == "." || decoded == ".."
        }
    }
}
