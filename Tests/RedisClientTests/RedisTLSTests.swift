import Basics
import Foundation
import TestProcesses
import Testing

@testable import RedisClient

@Suite struct RedisTLSTests {
    @Test func aTrustedServerIsSpokenToUnderItsNameAndItsAddress() async throws {
        try await withCertificates { folder in
            try await RedisTestServer.run(serverArguments(folder), isTLS: true) { server in
                for host in ["localhost", "127.0.0.1"] {
                    try await server.withClient {
                        use(folder, in: &$0)
                        $0.address.host = host
                    } body: { client in
                        let pong = try await client.send(RedisCommand("PING"))
                        #expect(pong == .simple("PONG"))
                        let large = [UInt8](repeating: 7, count: 1 << 20)
                        _ = try await client.send(RedisCommand("SET", ["large", .bytes(large)]))
                        let reply = try await client.send(RedisCommand("GET", ["large"]))
                        let isSame = reply.asBytes == large
                        #expect(isSame)
                    }
                }
            }
        }
    }

    @Test func anUnknownAuthorityIsRefusedUnlessToldOtherwise() async throws {
        try await withCertificates { folder in
            try await RedisTestServer.run(serverArguments(folder), isTLS: true) { server in
                let reason = try await failure(server) {
                    use(folder, in: &$0)
                    $0.tls.authorityFile = nil
                }
                #expect(reason.contains("not signed by a trusted authority"))
                try await server.withClient {
                    use(folder, in: &$0)
                    $0.tls.authorityFile = nil
                    $0.tls.insecureSkipVerify = true
                } body: { client in
                    let pong = try await client.send(RedisCommand("PING"))
                    #expect(pong == .simple("PONG"))
                }
            }
        }
    }

    @Test func aCertificateForAnotherNameIsRefused() async throws {
        try await withCertificates(names: "DNS:localhost") { folder in
            try await RedisTestServer.run(serverArguments(folder), isTLS: true) { server in
                let reason = try await failure(server) {
                    use(folder, in: &$0)
                    $0.tls.serverName = "redis.example"
                }
                #expect(reason.contains("another host"))
            }
        }
    }

    @Test func aServerThatAsksForAClientCertificateGetsOne() async throws {
        try await withCertificates { folder in
            let arguments = serverArguments(folder).map { $0 == "no" ? "yes" : $0 }
            try await RedisTestServer.run(arguments, isTLS: true) { server in
                try await server.withClient {
                    use(folder, in: &$0)
                    $0.tls.certificateFile = folder.appendingPathComponent("leaf.pem").path
                    $0.tls.keyFile = folder.appendingPathComponent("leaf.key").path
                } body: { client in
                    let pong = try await client.send(RedisCommand("PING"))
                    #expect(pong == .simple("PONG"))
                }
                let reason = try await failure(server) { use(folder, in: &$0) }
                #expect(reason.contains("asks for a client certificate"))
            }
        }
    }

    @Test func aFileThatCannotBeReadIsNamed() async throws {
        try await withCertificates { folder in
            try await RedisTestServer.run(serverArguments(folder), isTLS: true) { server in
                let reason = try await failure(server) {
                    use(folder, in: &$0)
                    $0.tls.authorityFile = "/no/such/file.pem"
                }
                #expect(reason.contains("/no/such/file.pem"))
                let incomplete = try await failure(server) {
                    use(folder, in: &$0)
                    $0.tls.keyFile = "/some/key"
                }
                #expect(incomplete.contains("both a certificate and a key"))
            }
        }
    }

    // MARK: Setting

    private func failure(
        _ server: RedisTestServer, _ change: (inout RedisClient.Configuration) -> Void
    ) async throws -> String {
        try await server.withClient(change) { client in
            let error = await client.failure(of: RedisCommand("PING"))
            guard case .notConnected(let reason) = error else {
                Issue.record("\(String(describing: error))")
                return ""
            }
            return reason
        }
    }

    private func use(_ folder: URL, in configuration: inout RedisClient.Configuration) {
        configuration.address.usesTLS = true
        configuration.tls.authorityFile = folder.appendingPathComponent("authority.pem").path
    }

    private func serverArguments(_ folder: URL) -> [String] {
        [
            "--tls-cert-file", folder.appendingPathComponent("leaf.pem").path,
            "--tls-key-file", folder.appendingPathComponent("leaf.key").path,
            "--tls-ca-cert-file", folder.appendingPathComponent("authority.pem").path, "--tls-auth-clients", "no",
        ]
    }

    /// Makes an authority and a certificate for localhost and 127.0.0.1 in a folder that is
    /// removed at the end.
    private func withCertificates(
        names: String = "DNS:localhost,IP:127.0.0.1", _ body: (URL) async throws -> Void
    ) async throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("redis-tls-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        try "subjectAltName=\(names)".write(
            to: folder.appendingPathComponent("names"), atomically: true, encoding: .utf8)
        let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        try openssl(
            [
                "req", "-x509", "-days", "2", "-subj", "/CN=authority", "-keyout", "authority.key", "-out",
                "authority.pem",
            ]
                + key, in: folder)
        try openssl(["req", "-subj", "/CN=leaf", "-keyout", "leaf.key", "-out", "leaf.csr"] + key, in: folder)
        try openssl(
            [
                "x509", "-req", "-days", "2", "-in", "leaf.csr", "-CA", "authority.pem", "-CAkey", "authority.key",
                "-CAcreateserial", "-extfile", "names", "-out", "leaf.pem",
            ], in: folder)
        try await body(folder)
    }

    private func openssl(_ arguments: [String], in folder: URL) throws {
        let (status, output) = try ChildProcess.run("openssl", arguments, in: folder.path)
        #expect(status == 0, "\(output)")
    }
}
