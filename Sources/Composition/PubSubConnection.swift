import Foundation
import GoogleAuth
public import PubSubQueue
import WeirConfiguration

extension PubSubConnectionSettings {
    /// The service that the settings name, or else the emulator that the environment names, or else Google's; with Google's
    /// credentials, if the connection is encrypted.
    ///
    /// - Parameter queue: the name of the queue, for errors.
    init(_ pubsub: Configuration.MessageQueue.PubSub, queue: String) throws(ServiceError) {
        try self.init(
            endpoint: pubsub.endpoint.map { PubSubEndpoint(host: $0.host, port: $0.port, usesTLS: $0.isSecure) },
            credentialsFile: pubsub.credentialsFile, user: "queue \(queue)")
    }

    /// The same for any caller.
    ///
    /// - Parameters:
    ///   - endpoint: nil takes the emulator that the environment names, or else Google's service.
    ///   - credentialsFile: nil looks where Google's own tools do.
    ///   - user: who wants it, for errors.
    public init(
        endpoint: PubSubEndpoint? = nil, credentialsFile: String?, user: String
    ) throws(ServiceError) {
        do throws(PubSubError) {
            let emulator = try PubSubEndpoint.emulator(environment: ProcessInfo.processInfo.environment)
            self.init(endpoint: endpoint ?? emulator ?? .google)
        } catch {
            throw ServiceError("\(user): \(error)", isConfiguration: true)
        }
        // A service without TLS is an emulator: it asks for no token, and would not be trusted with one.
        guard self.endpoint.usesTLS else { return }
        do throws(GoogleAuthError) {
            let credentials = try GoogleCredentials(GoogleCredentialsConfiguration(path: credentialsFile))
            tokens = GoogleTokens(credentials: credentials)
            userProject = credentials.quotaProject
        } catch {
            throw ServiceError("\(user): no usable Google credentials: \(error)", isConfiguration: true)
        }
    }
}

extension PubSubConnectionSettings {
    /// Who calls, where that is an account of Google's; nil with an emulator.
    var googleCredentials: GoogleCredentials? { (tokens as? GoogleTokens)?.credentials }
}

/// Google's access tokens, for the calls of Pub/Sub.
private struct GoogleTokens: AccessTokenSource {
    let credentials: GoogleCredentials

    func token() async throws -> String { try await credentials.token() }
}
