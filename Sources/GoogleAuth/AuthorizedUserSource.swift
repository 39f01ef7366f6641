import Basics

/// Tokens for a person who consented: the refresh token grant (RFC 6749 section 6).
struct AuthorizedUserSource: TokenSource {
    let account: String
    /// Files of this kind name no project but the one to be billed, which `gcloud` fills with the one in use.
    var knownProject: String? { user.quotaProject }
    var quotaProject: String? { user.quotaProject }
    private let user: CredentialFile.AuthorizedUser
    private let http: TokenHTTP

    init(_ user: CredentialFile.AuthorizedUser, http: TokenHTTP) {
        self.user = user
        self.http = http
        account = user.account.map { "user account \($0)" } ?? "user account of client \(user.clientID)"
    }

    func fetch(now: Instant) async throws -> AccessToken {
        let answer: TokenHTTP.Answer
        do {
            answer = try await http.post(
                user.tokenAddress,
                form: [
                    ("grant_type", "refresh_token"), ("client_id", user.clientID),
                    ("client_secret", user.clientSecret), ("refresh_token", user.refreshToken),
                ])
        } catch let failure as TokenHTTP.Failure {
            throw unavailable("the token server \(user.tokenAddress) cannot be asked: \(failure.reason)")
        }
        return try TokenAnswer.read(
            answer, of: account, askedAt: now, secrets: [user.refreshToken, user.clientSecret])
    }
}
