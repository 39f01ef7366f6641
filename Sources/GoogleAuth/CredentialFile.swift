import Foundation

/// What a file of Google credentials says, checked.
///
/// Formats: https://cloud.google.com/docs/authentication/application-default-credentials (types `service_account` and
/// `authorized_user`). Fields that are not needed are ignored, because Google adds some now and then; those that are
/// needed must be texts and not empty.
enum CredentialFile: Sendable {
    /// A key of a service account, which signs its own requests for tokens.
    case serviceAccount(ServiceAccountKey)
    /// A person's consent, kept by `gcloud auth application-default login`.
    case authorizedUser(AuthorizedUser)

    /// The key of a service account.
    struct ServiceAccountKey: Sendable {
        let email: String
        let keyID: String?
        /// PEM; a secret.
        let privateKey: String
        let tokenAddress: String
        let project: String?
    }

    /// A refresh token and the program it was given to.
    struct AuthorizedUser: Sendable {
        let account: String?
        let clientID: String
        /// A secret.
        let clientSecret: String
        /// A secret.
        let refreshToken: String
        let tokenAddress: String
        let quotaProject: String?
    }

    /// Where tokens are asked for when a file of a user does not say.
    private static let usualTokenAddress = "https://oauth2.googleapis.com/token"
    private static let longestFileBytes = 64 << 10

    /// Reads the file at `path`.
    init(path: String) throws(GoogleAuthError) {
        let bytes: Data
        do {
            let file = try FileHandle(forReadingFrom: URL(fileURLWithPath: path))
            bytes = try file.read(upToCount: Self.longestFileBytes + 1) ?? Data()
            try file.close()
        } catch {
            let isMissing = (error as? CocoaError)?.code == .fileReadNoSuchFile
            throw .badFile(path: path, reason: isMissing ? "does not exist" : "cannot be read")
        }
        guard bytes.count <= Self.longestFileBytes else {
            throw .badFile(path: path, reason: "is longer than 64 KiB, so it is not a credentials file")
        }
        try self.init(json: bytes, path: path)
    }

    /// Reads the text of a file; `path` is for error sentences.
    init(json: Data, path: String) throws(GoogleAuthError) {
        let raw: Raw
        do {
            raw = try JSONDecoder().decode(Raw.self, from: json)
        } catch DecodingError.typeMismatch(_, let context) where !context.codingPath.isEmpty {
            throw .badFile(path: path, reason: "is wrong: `\(context.codingPath[0].stringValue)` must be a text")
        } catch {
            throw .badFile(path: path, reason: "is not a JSON object")
        }
        if let universe = raw.universe_domain, universe != "googleapis.com" {
            throw .badFile(
                path: path, reason: "is for the universe \(Self.quoted(universe)); only googleapis.com is supported")
        }
        switch raw.type {
        case "service_account":
            self = .serviceAccount(
                ServiceAccountKey(
                    email: try Self.need(raw.client_email, "client_email", path), keyID: raw.private_key_id,
                    privateKey: try Self.need(raw.private_key, "private_key", path),
                    tokenAddress: try Self.address(try Self.need(raw.token_uri, "token_uri", path), path),
                    project: raw.project_id))
        case "authorized_user":
            self = .authorizedUser(
                AuthorizedUser(
                    account: raw.account.flatMap { $0.isEmpty ? nil : $0 },
                    clientID: try Self.need(raw.client_id, "client_id", path),
                    clientSecret: try Self.need(raw.client_secret, "client_secret", path),
                    refreshToken: try Self.need(raw.refresh_token, "refresh_token", path),
                    tokenAddress: try Self.address(raw.token_uri ?? Self.usualTokenAddress, path),
                    quotaProject: raw.quota_project_id))
        case nil:
            throw .badFile(path: path, reason: "has no `type`, so it is not a credentials file")
        case .some(let type):
            throw .badFile(
                path: path,
                reason:
                    "is of type \(Self.quoted(type)), which is not supported; use a service account's key, the file "
                    + "that `gcloud auth application-default login` writes, or workload identity without a file")
        }
    }

    private static func need(_ value: String?, _ name: String, _ path: String) throws(GoogleAuthError) -> String {
        guard let value, !value.isEmpty else { throw .badFile(path: path, reason: "lacks `\(name)`") }
        return value
    }

    /// Secrets go over TLS, or to this machine.
    private static func address(_ text: String, _ path: String) throws(GoogleAuthError) -> String {
        let loopback: Set<String> = ["127.0.0.1", "::1", "[::1]", "localhost"]
        guard let parts = URLComponents(string: text), let host = parts.host, !host.isEmpty,
            parts.scheme == "https" || (parts.scheme == "http" && loopback.contains(host))
        else { throw .badFile(path: path, reason: "is wrong: `token_uri` must be an https URL") }
        return text
    }

    private static func quoted(_ text: String) -> String {
        "`"
            + String(
                text.unicodeScalars.filter { $0.isASCII && $0.value >= 32 && $0 != "`" }.prefix(64).map(Character.init))
            + "`"
    }

    /// The fields as the files name them.
    private struct Raw: Decodable {
        let type: String?
        let client_email: String?
        let private_key_id: String?
        let private_key: String?
        let token_uri: String?
        let project_id: String?
        let client_id: String?
        let client_secret: String?
        let refresh_token: String?
        let quota_project_id: String?
        let account: String?
        let universe_domain: String?
    }
}
