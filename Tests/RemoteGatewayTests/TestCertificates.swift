import Foundation
import NIOSSL
import TestProcesses
import Testing

/// Certificates made by the `openssl` command for one test: an authority, a server for 127.0.0.1, a client, and another
/// authority that nobody knows.
struct TestCertificates {
    let folder: URL

    init() throws {
        folder = FileManager.default.temporaryDirectory.appendingPathComponent("weir-tls-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        try makeAuthority("authority")
        try makeAuthority("stranger")
        try make("server", extensions: "subjectAltName=IP:127.0.0.1,DNS:localhost")
        try make("client", extensions: "extendedKeyUsage=clientAuth")
    }

    func remove() { try? FileManager.default.removeItem(at: folder) }

    func path(_ name: String) -> String { folder.appendingPathComponent(name).path }

    /// - Parameter asksForClients: only those are let in who show a certificate of the authority.
    func serverConfiguration(asksForClients: Bool = false, protocols: [String] = []) throws -> TLSConfiguration {
        var tls = TLSConfiguration.makeServerConfiguration(
            certificateChain: try NIOSSLCertificate.fromPEMFile(path("server.pem")).map { .certificate($0) },
            privateKey: .privateKey(try NIOSSLPrivateKey(file: path("server.key"), format: .pem)))
        tls.applicationProtocols = protocols
        if asksForClients {
            tls.certificateVerification = .noHostnameVerification
            tls.trustRoots = .file(path("authority.pem"))
        }
        return tls
    }

    private func makeAuthority(_ name: String) throws {
        try openssl(
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
            "-subj",
            "/CN=\(name)", "-keyout", path("\(name).key"), "-out", path("\(name).pem"))
    }

    private func make(_ name: String, extensions: String) throws {
        try openssl(
            "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=\(name)",
            "-keyout",
            path("\(name).key"), "-out", path("\(name).csr"))
        try extensions.write(toFile: path("\(name).ext"), atomically: true, encoding: .utf8)
        try openssl(
            "x509", "-req", "-in", path("\(name).csr"), "-CA", path("authority.pem"), "-CAkey", path("authority.key"),
            "-CAcreateserial", "-days", "2", "-extfile", path("\(name).ext"), "-out", path("\(name).pem"))
    }

    private func openssl(_ arguments: String...) throws {
        let (status, output) = try ChildProcess.run("openssl", arguments)
        try #require(status == 0, "the openssl command is needed, and failed: \(arguments) \(output)")
    }
}
