import Basics
import Delivery
import NIOSSL
import RemoteGateway
import Testing

@Suite("TLS to a remote gateway", .timeLimit(.minutes(1)))
struct SecurityTests {
    /// The outcome of one request to a server that answers by itself.
    private func outcome(
        tls: TLSConfiguration, protocols: TestServer.Protocols = .http1, host: String = "127.0.0.1",
        security: GatewaySecurity
    ) async throws -> AttemptOutcome {
        let server = try await TestServer.start(tls: tls, protocols: protocols, answersItself: "{}")
        var outcome = AttemptOutcome.withdrawn
        try await withDispatcher(
            to: "https://\(host):\(server.port)", connections: { $0.security = security }
        ) { outcome = await $0.perform(request()) {} }
        try await server.stop()
        return outcome
    }

    private func isConnectFailure(_ outcome: AttemptOutcome) -> Bool {
        if case .failed(.connectFailed, _) = outcome { true } else { false }
    }

    @Test("a server is believed if the configured authority vouches for it, and not otherwise")
    func authority() async throws {
        let certificates = try TestCertificates()
        defer { certificates.remove() }
        let tls = try certificates.serverConfiguration()
        let known = GatewaySecurity(authorityFile: certificates.path("authority.pem"))
        #expect(try await outcome(tls: tls, security: known).response?.statusCode == 200)
        let stranger = GatewaySecurity(authorityFile: certificates.path("stranger.pem"))
        #expect(isConnectFailure(try await outcome(tls: tls, security: stranger)))
        #expect(isConnectFailure(try await outcome(tls: tls, security: GatewaySecurity())))
        let anyone = GatewaySecurity(skipsVerification: true)
        #expect(try await outcome(tls: tls, security: anyone).response?.statusCode == 200)
    }

    @Test("a server that asks for a certificate gets the configured one, and lets nobody in without")
    func mutual() async throws {
        let certificates = try TestCertificates()
        defer { certificates.remove() }
        let tls = try certificates.serverConfiguration(asksForClients: true)
        var security = GatewaySecurity(
            authorityFile: certificates.path("authority.pem"), certificateFile: certificates.path("client.pem"),
            keyFile: certificates.path("client.key"))
        #expect(try await outcome(tls: tls, security: security).response?.statusCode == 200)
        security.certificateFile = nil
        security.keyFile = nil
        guard case .failed = try await outcome(tls: tls, security: security) else {
            Issue.record("let in without a certificate")
            return
        }
    }

    @Test("TLS 1.1 is not spoken")
    func oldVersion() async throws {
        let certificates = try TestCertificates()
        defer { certificates.remove() }
        var tls = try certificates.serverConfiguration()
        tls.minimumTLSVersion = .tlsv1
        tls.maximumTLSVersion = .tlsv11
        let security = GatewaySecurity(authorityFile: certificates.path("authority.pem"))
        #expect(isConnectFailure(try await outcome(tls: tls, security: security)))
    }

    @Test(
        "where the server offers HTTP/2, all requests share one connection, and a cancelled one leaves it to the others"
    )
    func http2() async throws {
        let certificates = try TestCertificates()
        defer { certificates.remove() }
        let server = try await TestServer.start(
            tls: try certificates.serverConfiguration(protocols: ["h2"]), protocols: .http2)
        try await withDispatcher(
            to: "https://127.0.0.1:\(server.port)",
            connections: { $0.security = GatewaySecurity(authorityFile: certificates.path("authority.pem")) }
        ) { dispatcher in
            let tasks = (0..<20).map { _ in Task { await dispatcher.perform(request()) {} } }
            var arrivals: [Arrival] = []
            for _ in tasks { arrivals.append(await server.arrivals.next()) }
            let cancelled = Task { await dispatcher.perform(request()) {} }
            let last = await server.arrivals.next()
            cancelled.cancel()
            #expect(await cancelled.value == .withdrawn)
            try await last.closed()
            for arrival in arrivals { arrival.answer("{}") }
            for task in tasks { #expect(await task.value.response?.statusCode == 200) }
            #expect(server.clients.count == 1)
        }
        try await server.stop()
    }

    @Test("files that cannot be used are named, with the setting")
    func files() throws {
        let certificates = try TestCertificates()
        defer { certificates.remove() }
        func error(_ security: GatewaySecurity) -> RemoteGatewayError? {
            var configuration = GatewayConnections.Configuration()
            configuration.security = security
            do throws(RemoteGatewayError) {
                let connections = try GatewayConnections(configuration)
                Task { await connections.close() }
                return nil
            } catch {
                return error
            }
        }
        let missing = certificates.path("nothing.pem")
        #expect(error(GatewaySecurity(authorityFile: missing))?.description.contains(missing) == true)
        #expect(
            error(GatewaySecurity(certificateFile: certificates.path("client.pem")))
                == .incompleteClientCertificate)
        let noKey = GatewaySecurity(
            certificateFile: certificates.path("client.pem"), keyFile: certificates.path("client.csr"))
        #expect(error(noKey)?.description.contains("the client key") == true)
    }
}
