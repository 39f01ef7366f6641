import Basics
import NIOHTTP1

/// Tokens for the account that a machine or pod runs as: Compute Engine, Cloud Run, and GKE with workload identity
/// (https://cloud.google.com/compute/docs/metadata/overview).
struct MetadataServer: TokenSource {
    private static let usualHost = "metadata.google.internal"
    private static let flavor = "Metadata-Flavor"

    let account: String
    let knownProject: String? = nil
    private let host: String
    private let isAssumed: Bool
    private let scopes: [String]
    private let http: TokenHTTP

    /// - Parameter host: host and port; nil for the name that every Google machine resolves.
    init(host: String?, scopes: [String], http: TokenHTTP) {
        self.host = host ?? Self.usualHost
        isAssumed = host == nil
        self.scopes = scopes
        self.http = http
        account = "service account of the metadata server \(self.host)"
    }

    func fetch(now: Instant) async throws -> AccessToken {
        let query = scopes.isEmpty ? "" : "?scopes=" + scopes.map(TokenHTTP.escape).joined(separator: ",")
        let answer = try await ask("instance/service-accounts/default/token" + query)
        return try TokenAnswer.read(answer, of: account, askedAt: now, secrets: [])
    }

    func askProject() async throws -> String? {
        let answer = try await ask("project/project-id")
        let project = String(decoding: answer.body, as: UTF8.self)
        let isPlain = project.utf8.allSatisfy { $0 > 32 && $0 < 127 }
        guard answer.status == 200, !project.isEmpty, project.utf8.count <= 256, isPlain else { return nil }
        return project
    }

    private func ask(_ path: String) async throws -> TokenHTTP.Answer {
        let answer: TokenHTTP.Answer
        do {
            answer = try await http.get(
                "http://\(host)/computeMetadata/v1/\(path)", headers: [Self.flavor: "Google"])
        } catch let failure as TokenHTTP.Failure {
            let hint =
                isAssumed
                ? "; outside Google Cloud, run `gcloud auth application-default login`, or let "
                    + "GOOGLE_APPLICATION_CREDENTIALS name a key file" : ""
            throw unavailable("the metadata server cannot be asked: \(failure.reason)\(hint)")
        }
        // Proof that this is the metadata server, and not what a hotel's network answers to every name.
        guard answer.headers.first(name: Self.flavor) == "Google" else {
            throw unavailable("\(host) answered, but not as a metadata server does")
        }
        return answer
    }
}
