import Basics
import Foundation
import JWTKit
import NIOHTTP1
import Synchronization
import Testing

@testable import GoogleAuth

/// Against a real HTTP server that plays Google's token endpoint or metadata server.
@Suite(.timeLimit(.minutes(1))) struct GoogleCredentialsTests {
    @Test func aServiceAccountProvesItselfWithASignedTokenAndGetsOneBack() async throws {
        let fixture = try CredentialFixture()
        let server = try await TestHTTPServer.tokens(life: 3600)
        let path = try fixture.write(fixture.serviceAccount(tokens: server.url))
        let credentials = try fixture.credentials(path)
        #expect(try await credentials.token() == "token-1")

        let request = try #require(server.requests.first)
        #expect(request.method == "POST" && request.uri == "/token")
        let form = try form(request.body)
        #expect(form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer")
        let assertion = try #require(form["assertion"])
        let keys = JWTKeyCollection()
        await keys.add(rsa: fixture.key.publicKey, digestAlgorithm: .sha256, kid: "key-1")
        let claims = try await keys.verify(assertion, as: ServiceAccountSource.Claims.self)
        #expect(claims.iss.value == "robot@from-file.iam.gserviceaccount.com")
        #expect(claims.scope == "https://www.googleapis.com/auth/pubsub")
        #expect(claims.aud == server.url + "/token")
        #expect(claims.exp.value.timeIntervalSince(claims.iat.value) == 3600)
        #expect(abs(claims.iat.value.timeIntervalSinceNow) < 30)
        try await server.stop()
    }

    @Test func aUserHandsInTheRefreshToken() async throws {
        let fixture = try CredentialFixture()
        let server = try await TestHTTPServer.tokens(life: 3600)
        let credentials = try fixture.credentials(try fixture.write(fixture.authorizedUser(tokens: server.url)))
        #expect(try await credentials.token() == "token-1")
        let form = try form(try #require(server.requests.first).body)
        #expect(
            form == [
                "grant_type": "refresh_token", "client_id": "the-client", "client_secret": "the-client-secret",
                "refresh_token": "the-refresh-token/+ =&",
            ])
        try await server.stop()
    }

    @Test func theMetadataServerIsAskedWithItsFlavorForTokensAndTheProject() async throws {
        let fixture = try CredentialFixture()
        let server = try await TestHTTPServer.start { request in
            guard request.headers.first(name: "metadata-flavor") == "Google" else { return .init(status: 403) }
            if request.uri == "/computeMetadata/v1/project/project-id" {
                return .init(headers: [("metadata-flavor", "Google")], body: "from-metadata")
            }
            return .token("from-metadata-server")
        }
        let credentials = try fixture.credentials(nil, ["GCE_METADATA_HOST": "127.0.0.1:\(server.port)"])
        #expect(try await credentials.token() == "from-metadata-server")
        #expect(try await credentials.project() == "from-metadata")
        #expect(try await credentials.project() == "from-metadata")
        let token = "/computeMetadata/v1/instance/service-accounts/default/token"
        let scope = "https%3A%2F%2Fwww.googleapis.com%2Fauth%2Fpubsub"
        #expect(
            server.requests.map(\.uri) == ["\(token)?scopes=\(scope)", "/computeMetadata/v1/project/project-id"])
        try await server.stop()
    }

    @Test func aServerWithoutTheFlavorIsNotBelieved() async throws {
        let fixture = try CredentialFixture()
        let server = try await TestHTTPServer.start { _ in .init(body: #"{"access_token":"x","expires_in":9}"#) }
        let credentials = try fixture.credentials(nil, ["GCE_METADATA_HOST": "127.0.0.1:\(server.port)"])
        let error = await #expect(throws: GoogleAuthError.self) { _ = try await credentials.project() }
        #expect(error?.description.contains("answered, but not as a metadata server does") == true)
        try await server.stop()
    }

    @Test func manyCallersShareOneQuestionAndOneOfThemMayLeave() async throws {
        let fixture = try CredentialFixture()
        let (asked, answered) = (Gate(), Gate())
        let server = try await TestHTTPServer.start { _ in
            asked.open()
            await answered.wait()
            return .token("shared")
        }
        let credentials = try fixture.credentials(try fixture.write(fixture.serviceAccount(tokens: server.url)))
        try await withThrowingTaskGroup(of: String.self) { group in
            for _ in 0..<50 { group.addTask { try await credentials.token() } }
            let impatient = Task { try await credentials.token() }
            await asked.wait()
            impatient.cancel()
            await #expect(throws: CancellationError.self) { _ = try await impatient.value }
            answered.open()
            for try await token in group { #expect(token == "shared") }
        }
        #expect(server.requests.count == 1)
        try await server.stop()
    }

    @Test func aTokenIsRefreshedBesideItsUseAndKeptWhenThatFails() async throws {
        let fixture = try CredentialFixture()
        let count = Mutex(0)
        let (secondAsked, thirdAsked) = (Gate(), Gate())
        let server = try await TestHTTPServer.start { _ in
            let number = count.withLock { count in
                count += 1
                return count
            }
            switch number {
            case 1: return .token("first")
            case 2:
                secondAsked.open()
                return .init(status: 400, body: #"{"error":"invalid_grant"}"#)
            default:
                thirdAsked.open()
                return .token("second")
            }
        }
        let credentials = try fixture.credentials(try fixture.write(fixture.serviceAccount(tokens: server.url)))
        #expect(try await credentials.token() == "first")
        fixture.clock.advance(seconds: 3300)
        #expect(try await credentials.token() == "first")
        #expect(server.requests.count == 1)
        fixture.clock.advance(seconds: 100)
        #expect(try await credentials.token() == "first")
        await secondAsked.wait()
        #expect(try await credentials.token() == "first")
        // The failure is noted a moment after it was answered; from then on a refresh is due again and again.
        let deadline = ContinuousClock.now + .seconds(20)
        while server.requests.count < 3, ContinuousClock.now < deadline {
            fixture.clock.advance(seconds: 1)
            #expect(try await credentials.token() == "first")
            try await Task.sleep(for: .milliseconds(50))
            if fixture.clock.now.seconds > 1000 + 3580 { break }
        }
        await thirdAsked.wait()
        while try await credentials.token() == "first", ContinuousClock.now < deadline { await Task.yield() }
        #expect(try await credentials.token() == "second")
        try await server.stop()
    }

    @Test func troubleOfTheServerIsAskedAgain() async throws {
        let fixture = try CredentialFixture()
        let count = Mutex(0)
        let server = try await TestHTTPServer.start { _ in
            let number = count.withLock { count in
                count += 1
                return count
            }
            return number < 3 ? .init(status: number == 1 ? 503 : 429) : .token("late")
        }
        let credentials = try fixture.credentials(try fixture.write(fixture.authorizedUser(tokens: server.url)))
        #expect(try await credentials.token() == "late")
        #expect(server.requests.count == 3)
        try await server.stop()
    }

    @Test func aDiscardedTokenIsReplaced() async throws {
        let fixture = try CredentialFixture()
        let server = try await TestHTTPServer.tokens(life: 3600)
        let credentials = try fixture.credentials(try fixture.write(fixture.serviceAccount(tokens: server.url)))
        credentials.discard(try await credentials.token())
        #expect(try await credentials.token() == "token-2")
        try await server.stop()
    }

    @Test func aRefusalSaysWhyWithoutASecret() async throws {
        let fixture = try CredentialFixture()
        let server = try await TestHTTPServer.start { request in
            let text = "bad the-refresh-token/+ =& and the-client-secret"
            return .init(status: 400, body: #"{"error":"invalid_grant","error_description":"\#(text)"}"#)
        }
        let credentials = try fixture.credentials(try fixture.write(fixture.authorizedUser(tokens: server.url)))
        let error = await #expect(throws: GoogleAuthError.self) { _ = try await credentials.token() }
        #expect(
            error?.description
                == "no access token for the user account of client the-client: the token server answered "
                + "400 invalid_grant (bad [withheld] and [withheld])")
        #expect(server.requests.count == 1)
        #expect("\(credentials)\(String(reflecting: error))".contains("the-client-secret") == false)
        try await server.stop()
    }

    @Test(arguments: [
        #"{"access_token":"x","expires_in":0}"#, #"{"access_token":"","expires_in":9}"#,
        #"{"access_token":"a b","expires_in":9}"#, #"{"id_token":"x"}"#, "",
    ])
    func anAnswerWithoutATokenIsNone(body: String) async throws {
        let read = TokenHTTP.Answer(status: 200, headers: [:], body: Array(body.utf8))
        #expect(throws: GoogleAuthError.self) {
            _ = try TokenAnswer.read(read, of: "x", askedAt: .zero, secrets: [])
        }
    }

    @Test func longAnswersRedirectsAndSilenceAreFailures() async throws {
        let silence = Gate()
        let server = try await TestHTTPServer.start { request in
            switch request.uri {
            case "/long": return .init(body: String(repeating: "x", count: 100_000))
            case "/stall": return .init(body: "x", neverEnds: true)
            case "/moved": return .init(status: 302, headers: [("location", "/elsewhere")])
            default:
                await silence.wait()
                return .init()
            }
        }
        let patient = TokenHTTP(timeout: .seconds(60))
        #expect(
            await failure { try await patient.get(server.url + "/long", headers: [:]) }
                == "the answer was longer than 64 KiB")
        #expect(try await patient.get(server.url + "/moved", headers: [:]).status == 302)
        let impatient = TokenHTTP(timeout: .seconds(0.3))
        #expect(
            await failure { try await impatient.get(server.url + "/mute", headers: [:]) } == "no answer within 0.3 s")
        #expect(
            await failure { try await impatient.get(server.url + "/stall", headers: [:]) } == "no answer within 0.3 s")
        silence.open()
        try await server.stop()
        let gone = await failure { try await patient.get(server.url + "/", headers: [:]) }
        #expect(gone?.isEmpty == false && gone?.hasPrefix("no answer") == false)
    }

    private func failure(_ work: () async throws -> TokenHTTP.Answer) async -> String? {
        do {
            _ = try await work()
            return nil
        } catch {
            return (error as? TokenHTTP.Failure)?.reason
        }
    }

    private func form(_ body: String) throws -> [String: String] {
        var fields: [String: String] = [:]
        for pair in body.split(separator: "&") {
            let parts = pair.split(separator: "=", maxSplits: 1)
            let value: String = try #require(String(parts[1]).removingPercentEncoding)
            fields[String(parts[0])] = value
        }
        return fields
    }
}
