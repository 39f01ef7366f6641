import Basics
import Foundation

/// Something that can be asked for a fresh token.
protocol TokenSource: Sendable {
    /// The kind of credentials and the account, for people; no secret.
    var account: String { get }
    /// The project that comes with the credentials, without asking anyone.
    var knownProject: String? { get }
    /// The project to be billed for the calls, where the credentials name one.
    var quotaProject: String? { get }
    /// Asks for a token; `GoogleAuthError` or `CancellationError` if there is none.
    func fetch(now: Instant) async throws -> AccessToken
    /// Asks which project this runs in; nil if nobody can be asked.
    func askProject() async throws -> String?
}

extension TokenSource {
    var quotaProject: String? { nil }

    func askProject() async throws -> String? { nil }

    func unavailable(_ reason: String) -> GoogleAuthError { .unavailable(account: account, reason: reason) }
}

/// Reads answers of servers that give tokens (RFC 6749 section 5).
struct TokenAnswer: Decodable {
    private struct Refusal: Decodable {
        let error: String?
        let error_description: String?
    }

    let access_token: String
    let expires_in: Int64

    /// The longest life that is believed: a token that never expires would never be replaced.
    private static let longestLife: Int64 = 12 * 3600

    /// The token in an answer.
    ///
    /// - Parameter secrets: are cut out of the error sentence, in case a server repeats what it was sent.
    static func read(
        _ answer: TokenHTTP.Answer, of account: String, askedAt now: Instant, secrets: [String]
    ) throws(GoogleAuthError) -> AccessToken {
        guard answer.status == 200 else {
            let refusal = try? JSONDecoder().decode(Refusal.self, from: Data(answer.body))
            var reason = "the token server answered \(answer.status)"
            if let code = refusal?.error { reason += " \(code)" }
            if let text = refusal?.error_description { reason += " (\(text))" }
            reason = clean(reason, without: secrets)
            switch answer.status {
            case 408, 425, 429, 500...599: throw .unavailable(account: account, reason: reason)
            default: throw .refused(account: account, reason: reason)
            }
        }
        guard let read = try? JSONDecoder().decode(TokenAnswer.self, from: Data(answer.body)),
            !read.access_token.isEmpty,
            read.expires_in > 0, read.access_token.utf8.allSatisfy({ $0 > 32 && $0 < 127 })
        else {
            throw .unavailable(account: account, reason: "the token server's answer holds no token that can be used")
        }
        return AccessToken(
            value: read.access_token, issued: now,
            expires: now + .seconds(Double(min(read.expires_in, longestLife))))
    }

    /// One line, not too long, without secrets.
    private static func clean(_ text: String, without secrets: [String]) -> String {
        var clean = text
        for secret in secrets where !secret.isEmpty {
            clean = clean.replacingOccurrences(of: secret, with: "[withheld]")
        }
        return String(clean.unicodeScalars.map { $0.value < 32 || $0.value == 127 ? " " : Character($0) }.prefix(300))
    }
}
