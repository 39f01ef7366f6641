public import Basics
import Foundation

/// Where credentials come from and what they are for.
public struct GoogleCredentialsConfiguration: Sendable {
    /// A credentials file; nil searches as Google's own libraries do: the file that `GOOGLE_APPLICATION_CREDENTIALS` names,
    /// the file that `gcloud auth application-default login` wrote, the metadata server of the machine or pod.
    public var path: String?
    /// What the tokens are good for; URLs of OAuth scopes.
    public var scopes: [String]
    /// The project to work in; nil looks for it (`GoogleCredentials.project()`).
    public var project: String?
    /// The environment variables.
    public var environment: [String: String]
    /// Longest time for one question to a server that gives tokens, connecting included.
    public var timeout: TimeSpan

    /// The scope that Google recommends for workloads: all of the project's APIs, narrowed by the account's roles.
    public static let cloudPlatformScope = "https://www.googleapis.com/auth/cloud-platform"

    /// Creates a configuration; without an environment, with that of the process.
    public init(
        path: String? = nil, scopes: [String] = [cloudPlatformScope], project: String? = nil,
        environment: [String: String]? = nil, timeout: TimeSpan = .seconds(10)
    ) {
        self.path = path
        self.scopes = scopes
        self.project = project
        self.environment = environment ?? ProcessInfo.processInfo.environment
        self.timeout = timeout
    }

    func variable(_ name: String) -> String? { environment[name].flatMap { $0.isEmpty ? nil : $0 } }

    /// The first source of the search that is there; a file that was named but is wrong is an error, never skipped.
    func findSource() throws(GoogleAuthError) -> any TokenSource {
        let path = path ?? variable("GOOGLE_APPLICATION_CREDENTIALS") ?? wellKnownFile()
        guard let path else {
            return MetadataServer(
                host: variable("GCE_METADATA_HOST"), scopes: scopes, http: TokenHTTP(timeout: timeout))
        }
        switch try CredentialFile(path: path) {
        case .serviceAccount(let key):
            return try ServiceAccountSource(key, path: path, scopes: scopes, http: TokenHTTP(timeout: timeout))
        case .authorizedUser(let user):
            return AuthorizedUserSource(user, http: TokenHTTP(timeout: timeout))
        }
    }

    private func wellKnownFile() -> String? {
        let folder = variable("CLOUDSDK_CONFIG") ?? variable("HOME").map { $0 + "/.config/gcloud" }
        guard let path = folder.map({ $0 + "/application_default_credentials.json" }) else { return nil }
        return FileManager.default.fileExists(atPath: path) ? path : nil
    }
}
