import Foundation
import GoogleAuth

/// The Google Cloud project to work in where nobody names one.
public enum GoogleProject {
    /// Looks where Google's own tools do.
    ///
    /// - Parameter asksServers: whether the metadata server may be asked; with an emulator only the environment counts.
    public static func discover(credentialsFile: String?, asksServers: Bool) async throws -> String {
        if !asksServers {
            guard let project = ProcessInfo.processInfo.environment["GOOGLE_CLOUD_PROJECT"], !project.isEmpty else {
                throw ServiceError("GOOGLE_CLOUD_PROJECT is not set", isConfiguration: true)
            }
            return project
        }
        return try await GoogleCredentials(GoogleCredentialsConfiguration(path: credentialsFile)).project()
    }
}
