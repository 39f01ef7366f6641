/// Why there is no access token; each description is a sentence for an operator and never holds a secret.
public enum GoogleAuthError: Error, Hashable, Sendable, CustomStringConvertible {
    /// A credentials file cannot be read, or says something that cannot be used.
    case badFile(path: String, reason: String)
    /// The server that gives tokens refused for good: asking again does not help until something is changed.
    case refused(account: String, reason: String)
    /// The server that gives tokens could not be reached or failed; asking again later may help.
    case unavailable(account: String, reason: String)
    /// Nothing says which project is meant.
    case noProject(reason: String)

    /// What happened and what can be done about it.
    public var description: String {
        switch self {
        case .badFile(let path, let reason): "the Google credentials file \(path) \(reason)"
        case .refused(let account, let reason): "no access token for the \(account): \(reason)"
        case .unavailable(let account, let reason): "no access token for the \(account) yet: \(reason)"
        case .noProject(let reason): "no Google Cloud project is known: \(reason)"
        }
    }

    /// Whether the same question may be answered later.
    var isTransient: Bool {
        if case .unavailable = self { true } else { false }
    }
}
