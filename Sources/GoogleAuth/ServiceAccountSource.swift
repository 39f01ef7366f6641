import Basics
import Foundation
import JWTKit

/// Tokens for a service account: a JSON Web Token signed with its key is exchanged for one (RFC 7523;
/// https://developers.google.com/identity/protocols/oauth2/service-account).
struct ServiceAccountSource: TokenSource {
    /// What the signed token says.
    struct Claims: JWTPayload {
        let iss: IssuerClaim
        let scope: String
        let aud: String
        let iat: IssuedAtClaim
        let exp: ExpirationClaim

        func verify(using algorithm: some JWTAlgorithm) throws { try exp.verifyNotExpired() }
    }

    /// Google takes no assertion that lives longer.
    private static let assertionLife = 3600.0

    let account: String
    var knownProject: String? { key.project }
    private let key: CredentialFile.ServiceAccountKey
    private let signingKey: Insecure.RSA.PrivateKey
    private let scopes: [String]
    private let http: TokenHTTP

    init(
        _ key: CredentialFile.ServiceAccountKey, path: String, scopes: [String], http: TokenHTTP
    ) throws(GoogleAuthError) {
        do {
            signingKey = try Insecure.RSA.PrivateKey(pem: key.privateKey)
        } catch {
            // The parser's error is not passed on: it may quote the key.
            throw .badFile(path: path, reason: "is wrong: `private_key` is no RSA key in PEM form of 2048 bits or more")
        }
        self.key = key
        self.scopes = scopes
        self.http = http
        account = "service account \(key.email)"
    }

    func fetch(now: Instant) async throws -> AccessToken {
        let assertion: String
        do {
            assertion = try await sign()
        } catch {
            throw GoogleAuthError.refused(account: account, reason: "its private key cannot sign")
        }
        let answer: TokenHTTP.Answer
        do {
            answer = try await http.post(
                key.tokenAddress,
                form: [("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"), ("assertion", assertion)])
        } catch let failure as TokenHTTP.Failure {
            throw unavailable("the token server \(key.tokenAddress) cannot be asked: \(failure.reason)")
        }
        return try TokenAnswer.read(answer, of: account, askedAt: now, secrets: [assertion, key.privateKey])
    }

    private func sign() async throws -> String {
        let keys = JWTKeyCollection()
        let identifier = key.keyID.map { JWKIdentifier(string: $0) }
        await keys.add(rsa: signingKey, digestAlgorithm: .sha256, kid: identifier)
        let issued = Date()
        let claims = Claims(
            iss: IssuerClaim(value: key.email), scope: scopes.joined(separator: " "), aud: key.tokenAddress,
            iat: IssuedAtClaim(value: issued),
            exp: ExpirationClaim(value: issued.addingTimeInterval(Self.assertionLife)))
        return try await keys.sign(claims, kid: identifier)
    }
}
