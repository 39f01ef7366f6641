import Basics
import Foundation
import JWTKit
import Synchronization
import TestProcesses
import Testing

@testable import GoogleAuth

/// Files of credentials in a folder of their own, and an environment in which nothing else is found.
struct CredentialFixture: ~Copyable {
    let folder: URL
    let key: Insecure.RSA.PrivateKey
    let clock = TestClock()

    init() throws {
        folder = FileManager.default.temporaryDirectory.appendingPathComponent("google-auth-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        key = try testKey.get()
    }

    deinit { try? FileManager.default.removeItem(at: folder) }

    /// Writes a file and returns its path.
    func write(_ fields: [String: Any], to name: String = "key.json") throws -> String {
        let file = folder.appendingPathComponent(name)
        try FileManager.default.createDirectory(
            at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
        try JSONSerialization.data(withJSONObject: fields).write(to: file)
        return file.path
    }

    func serviceAccount(tokens: String) -> [String: Any] {
        [
            "type": "service_account", "project_id": "from-file", "private_key_id": "key-1",
            "private_key": key.pemRepresentation, "client_email": "robot@from-file.iam.gserviceaccount.com",
            "client_id": "1", "token_uri": tokens + "/token", "universe_domain": "googleapis.com",
        ]
    }

    func authorizedUser(tokens: String) -> [String: Any] {
        [
            "type": "authorized_user", "client_id": "the-client", "client_secret": "the-client-secret",
            "refresh_token": "the-refresh-token/+ =&", "quota_project_id": "billed", "token_uri": tokens + "/token",
        ]
    }

    func credentials(_ path: String? = nil, _ environment: [String: String] = [:]) throws -> GoogleCredentials {
        let clock = clock
        return try GoogleCredentials(
            GoogleCredentialsConfiguration(
                path: path, scopes: ["https://www.googleapis.com/auth/pubsub"], environment: environment)
        ) { clock.now }
    }
}

/// Made once, because that takes long.
private let testKey = Result { try Insecure.RSA.PrivateKey(pem: makeKey()) }

/// A key as `openssl` makes them.
private func makeKey() throws -> String {
    let (status, output) = try ChildProcess.run(
        "openssl", ["genpkey", "-quiet", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"])
    try #require(status == 0, "\(output)")
    return output
}

/// A clock that only the test moves.
final class TestClock: Sendable {
    private let time = Mutex(Instant(seconds: 1000))

    var now: Instant { time.withLock { $0 } }

    func advance(seconds: Double) { time.withLock { $0 = $0 + .seconds(seconds) } }
}

/// Counts, and wakes those who wait for a count.
final class Gate: Sendable {
    private struct State {
        var isOpen = false
        var waiting: [CheckedContinuation<Void, Never>] = []
    }

    private let state = Mutex(State())

    func open() {
        let waiting = state.withLock { state in
            defer { state.waiting = [] }
            state.isOpen = true
            return state.waiting
        }
        for one in waiting { one.resume() }
    }

    func wait() async {
        await withCheckedContinuation { continuation in
            let isOpen = state.withLock { state in
                if !state.isOpen { state.waiting.append(continuation) }
                return state.isOpen
            }
            if isOpen { continuation.resume() }
        }
    }
}

extension TestHTTPServer {
    /// A server that gives tokens `token-1`, `token-2`, ..., each with the same life.
    static func tokens(life: Int) async throws -> TestHTTPServer {
        let count = Mutex(0)
        return try await start { _ in
            let number = count.withLock { count in
                count += 1
                return count
            }
            return .token("token-\(number)", life: life)
        }
    }
}

extension TestHTTPServer.Answer {
    static func token(_ value: String, life: Int = 3600) -> Self {
        Self(
            headers: [("content-type", "application/json"), ("metadata-flavor", "Google")],
            body: #"{"access_token":"\#(value)","expires_in":\#(life),"token_type":"Bearer"}"#)
    }
}
