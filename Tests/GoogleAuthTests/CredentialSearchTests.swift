import Foundation
import Testing

@testable import GoogleAuth

@Suite struct CredentialSearchTests {
    private func refusal(_ work: () throws -> Void) -> String {
        do {
            try work()
            return "no error"
        } catch {
            return "\(error)"
        }
    }

    @Test func thePathThatIsConfiguredGoesFirst() throws {
        let fixture = try CredentialFixture()
        let user = try fixture.write(fixture.authorizedUser(tokens: "https://x"), to: "user.json")
        let robot = try fixture.write(fixture.serviceAccount(tokens: "https://x"))
        let found = try fixture.credentials(user, ["GOOGLE_APPLICATION_CREDENTIALS": robot])
        #expect(found.description == "user account of client the-client")
        let second = try fixture.credentials(nil, ["GOOGLE_APPLICATION_CREDENTIALS": robot])
        #expect(second.description == "service account robot@from-file.iam.gserviceaccount.com")
    }

    @Test func gcloudsFileIsFoundAndWithoutOneTheMetadataServerIsAsked() throws {
        let fixture = try CredentialFixture()
        let name = "application_default_credentials.json"
        let home = fixture.folder.path
        _ = try fixture.write(fixture.authorizedUser(tokens: "https://x"), to: ".config/gcloud/" + name)
        #expect(try fixture.credentials(nil, ["HOME": home]).description == "user account of client the-client")
        _ = try fixture.write(fixture.serviceAccount(tokens: "https://x"), to: "other/" + name)
        let other = try fixture.credentials(nil, ["HOME": home, "CLOUDSDK_CONFIG": home + "/other"])
        #expect(other.description == "service account robot@from-file.iam.gserviceaccount.com")
        let none = try fixture.credentials(nil, ["HOME": "/nowhere"])
        #expect(none.description == "service account of the metadata server metadata.google.internal")
    }

    @Test func aFileThatWasNamedAndIsMissingIsAnError() throws {
        let fixture = try CredentialFixture()
        let sentence = refusal { _ = try fixture.credentials(nil, ["GOOGLE_APPLICATION_CREDENTIALS": "/no/such.json"]) }
        #expect(sentence == "the Google credentials file /no/such.json does not exist")
    }

    @Test(arguments: ["external_account", "impersonated_service_account", "external_account_authorized_user", "gdch"])
    func otherTypesAreRefusedWithASentence(type: String) throws {
        let fixture = try CredentialFixture()
        let path = try fixture.write(["type": type, "token_url": "https://x"])
        let sentence = refusal { _ = try fixture.credentials(path) }
        #expect(sentence.contains("is of type `\(type)`, which is not supported; use a service account's key"))
    }

    @Test(arguments: ["client_email", "private_key", "token_uri"])
    func aFieldThatIsMissingIsNamed(field: String) throws {
        let fixture = try CredentialFixture()
        var fields = fixture.serviceAccount(tokens: "https://x")
        fields[field] = nil
        let path = try fixture.write(fields)
        #expect(refusal { _ = try fixture.credentials(path) } == "the Google credentials file \(path) lacks `\(field)`")
        fields[field] = 17
        _ = try fixture.write(fields)
        #expect(refusal { _ = try fixture.credentials(path) }.hasSuffix("is wrong: `\(field)` must be a text"))
    }

    @Test func wrongFilesAreRefusedAndNeverQuoted() throws {
        let fixture = try CredentialFixture()
        var fields = fixture.serviceAccount(tokens: "https://x")
        fields["private_key"] = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n"
        let badKey = refusal { _ = try fixture.credentials(try fixture.write(fields)) }
        #expect(badKey.contains("`private_key` is no RSA key in PEM form") && !badKey.contains("c2VjcmV0"))

        fields = fixture.serviceAccount(tokens: "http://evil.example")
        let plain = refusal { _ = try fixture.credentials(try fixture.write(fields)) }
        #expect(plain.hasSuffix("is wrong: `token_uri` must be an https URL"))

        fields = fixture.serviceAccount(tokens: "https://x")
        fields["universe_domain"] = "apis-s3ns.fr"
        let universe = refusal { _ = try fixture.credentials(try fixture.write(fields)) }
        #expect(universe.contains("is for the universe `apis-s3ns.fr`"))

        let text = fixture.folder.appendingPathComponent("text.json")
        try Data("hush".utf8).write(to: text)
        #expect(refusal { _ = try fixture.credentials(text.path) }.hasSuffix("is not a JSON object"))
        try Data(repeating: 32, count: 70_000).write(to: text)
        #expect(refusal { _ = try fixture.credentials(text.path) }.contains("longer than 64 KiB"))
    }

    @Test func theProjectIsTheConfiguredOneThenTheEnvironmentsThenTheFiles() async throws {
        let fixture = try CredentialFixture()
        let path = try fixture.write(fixture.serviceAccount(tokens: "https://x"))
        var configuration = GoogleCredentialsConfiguration(
            path: path, project: "configured", environment: ["GOOGLE_CLOUD_PROJECT": "from-environment"])
        #expect(try await GoogleCredentials(configuration).project() == "configured")
        configuration.project = nil
        #expect(try await GoogleCredentials(configuration).project() == "from-environment")
        configuration.environment = [:]
        #expect(try await GoogleCredentials(configuration).project() == "from-file")

        let user = try fixture.credentials(try fixture.write(fixture.authorizedUser(tokens: "https://x")))
        #expect(try await user.project() == "billed")
        #expect(user.quotaProject == "billed")
        var fields = fixture.authorizedUser(tokens: "https://x")
        fields["quota_project_id"] = nil
        let homeless = try fixture.credentials(try fixture.write(fields))
        await #expect(throws: GoogleAuthError.self) { _ = try await homeless.project() }
    }
}
