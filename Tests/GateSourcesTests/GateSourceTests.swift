import Basics
import DispatchGates
import Foundation
import GateSources
import RedisClient
import Synchronization
import TestProcesses
import Testing

/// Gates as configured, fed by their real sources.
@Suite(.timeLimit(.minutes(5))) struct GateSourceTests {
    /// What an endpoint picker and the model servers of the pool `chat` expose, as of the reference's two vintages.
    private static let older = """
        inference_extension_flow_control_pool_saturation{inference_pool="chat"} 0.3
        inference_extension_flow_control_queue_size{inference_pool="chat",priority="0"} 12
        inference_extension_flow_control_queue_size{inference_pool="chat",priority="-1"} 8
        inference_pool_ready_pods{name="chat"} 4
        inference_pool_per_pod_queue_size{name="chat",model_server_pod="a"} 2
        inference_pool_per_pod_queue_size{name="chat",model_server_pod="b"} 6
        vllm:num_requests_running{inference_pool="chat",pod="a"} 3
        vllm:num_requests_running{inference_pool="chat",pod="b"} 7
        inference_extension_flow_control_queue_size{inference_pool="other",priority="0"} 1000

        """
    private static let newer = """
        llm_d_epp_flow_control_pool_saturation{inference_pool="chat"} 0.6
        llm_d_epp_flow_control_queue_size{inference_pool="chat",priority="0"} 10
        llm_d_epp_ready_endpoints{name="chat"} 2
        llm_d_epp_per_endpoint_queue_size{name="chat",pod="a"} 9

        """

    private static func gate(_ type: String, _ parameters: [String: GateParameter]) throws -> DispatchGate {
        DispatchGate(try GateConfiguration(type: type, parameters: parameters), owner: "test")
    }

    /// The gate's budget once each of its sources has a reading of a number or is absent.
    private func budget(
        of gate: DispatchGate, prometheus: String? = nil, isWanted: @escaping @Sendable (GateReading) -> Bool
    ) async throws -> Double {
        var gate = gate
        try await withWatcher(of: gate.sources) { configuration in
            configuration.prometheus = try prometheus.map { try PrometheusServer($0) }
        } body: { log, _ in
            for source in gate.sources {
                let reading = try #require(await log.next(of: source, where: isWanted))
                gate.observe(reading, of: source, now: Instant(seconds: 1))
            }
        }
        return gate.budget(now: Instant(seconds: 1))
    }

    private static let isNumber: @Sendable (GateReading) -> Bool = { reading in
        if case .value = reading { true } else { false }
    }

    private func isClose(_ left: Double, _ right: Double) -> Bool { abs(left - right) < 1e-9 }

    @Test(.needsPrometheus) func theQueriesOfTheReferenceAreAnswered() async throws {
        let pool = try await TestHTTPServer.start { _ in .init(body: Self.older) }
        let server = try await ServerProcess.prometheus(scraping: "127.0.0.1:\(pool.port)")
        let cases: [(query: String, value: Double)] = [
            (#"1 - inference_extension_flow_control_pool_saturation{inference_pool="chat"}"#, 0.7),
            (
                #"1 - (sum by(inference_pool)(inference_extension_flow_control_queue_size{inference_pool="chat"})"#
                    + #" / on() (inference_pool_ready_pods{name="chat"} * 10))"#, 0.5
            ),
            (#"1 - (avg by(name)(inference_pool_per_pod_queue_size{name="chat"}) / 10)"#, 0.6),
            (
                #"1 - (sum(vllm:num_requests_running{inference_pool="chat"})"#
                    + #" / on() (inference_pool_ready_pods{name="chat"} * 10))"#, 0.75
            ),
        ]
        let sources = cases.map { GateSource.prometheus(query: $0.query) }
        let (nothing, wrong) = (GateSource.prometheus(query: "no_such_metric"), GateSource.prometheus(query: "sum("))
        let notANumber = GateSource.prometheus(query: "vector(0) / 0")
        try await withWatcher(of: Set(sources + [nothing, wrong, notANumber])) { configuration in
            configuration.prometheus = try PrometheusServer("http://127.0.0.1:\(server.port)")
        } body: { log, _ in
            for (source, value) in zip(sources, cases.map(\.value)) {
                guard case .value(let number) = await log.next(of: source, where: Self.isNumber) else {
                    Issue.record("no value of \(source)")
                    continue
                }
                #expect(isClose(number, value), "\(source)")
            }
            #expect(await log.next(of: nothing) == .absent)
            #expect(await log.next(of: notANumber) == .absent)
            #expect(
                await log.failure(of: wrong)?.hasPrefix("Prometheus refused the query (status 400) bad_data") == true)
        }
        try await pool.stop()
    }

    @Test(.needsPrometheus) func theGatesOfPrometheusReadTheirMetricsOfBothVintages() async throws {
        // Closed until a reading says otherwise, so only the right one opens it that far.
        let budgetGate = try Self.gate("prometheus-budget", ["pool": .text("chat"), "max_concurrency": .number(10)])
        let saturationGate = try Self.gate("prometheus-saturation", ["pool": .text("chat"), "threshold": .number(0.8)])
        let queryGate = try Self.gate(
            "prometheus-query", ["query": .text("sum(vllm:num_requests_running) / 20")])

        let pool = try await TestHTTPServer.start { _ in .init(body: Self.older) }
        let server = try await ServerProcess.prometheus(scraping: "127.0.0.1:\(pool.port)")
        let url = "http://127.0.0.1:\(server.port)"
        // 20 of 40 queued; baseline 0.05.
        #expect(isClose(try await budget(of: budgetGate, prometheus: url, isWanted: Self.isNumber), 0.45))
        // 0.7 free, of which 0.2 are kept.
        #expect(isClose(try await budget(of: saturationGate, prometheus: url, isWanted: Self.isNumber), 0.5))
        #expect(isClose(try await budget(of: queryGate, prometheus: url, isWanted: Self.isNumber), 0.5))
        try await pool.stop()
        server.kill()

        let newPool = try await TestHTTPServer.start { _ in .init(body: Self.newer) }
        let newServer = try await ServerProcess.prometheus(scraping: "127.0.0.1:\(newPool.port)")
        let newURL = "http://127.0.0.1:\(newServer.port)"
        #expect(isClose(try await budget(of: saturationGate, prometheus: newURL, isWanted: Self.isNumber), 0.2))
        // The model servers' metric is absent; that must not close the gate.
        let read = try await budget(of: budgetGate, prometheus: newURL) { reading in
            if case .failed = reading { false } else { true }
        }
        #expect(isClose(read, 0.45))
        try await newPool.stop()
    }

    @Test(.needsPrometheus) func aPrometheusThatDiesClosesTheGateAndOneThatComesBackOpensIt() async throws {
        let pool = try await TestHTTPServer.start { _ in .init(body: Self.older) }
        let server = try await ServerProcess.prometheus(scraping: "127.0.0.1:\(pool.port)")
        var gate = try Self.gate("prometheus-saturation", ["pool": .text("chat")])
        let source = try #require(gate.sources.first)
        try await withWatcher(of: gate.sources) { configuration in
            configuration.prometheus = try PrometheusServer("http://127.0.0.1:\(server.port)")
        } body: { log, _ in
            let first = try #require(await log.next(of: source, where: Self.isNumber))
            gate.observe(first, of: source, now: Instant(seconds: 1))
            #expect(gate.budget(now: Instant(seconds: 1)) > 0)
            server.kill()
            let sentence = try #require(await log.failure(of: source))
            gate.observe(.failed(sentence), of: source, now: Instant(seconds: 2))
            #expect(gate.budget(now: Instant(seconds: 2)) == 0)
            try await server.start()
            let again = try #require(await log.next(of: source, where: Self.isNumber))
            gate.observe(again, of: source, now: Instant(seconds: 3))
            #expect(gate.budget(now: Instant(seconds: 3)) > 0)
        }
        try await pool.stop()
    }

    @Test(.needsPrometheus) func aPrometheusBehindTLSAndALoginIsReached() async throws {
        let pool = try await TestHTTPServer.start { _ in .init(body: Self.older) }
        let folder = try ServerProcess.makeFolder()
        defer { try? FileManager.default.removeItem(at: folder) }
        let (status, output) = try ChildProcess.run(
            "openssl",
            [
                "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
                "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", "key.pem", "-out", "cert.pem",
            ], in: folder.path)
        try #require(status == 0, "\(output)")
        // The hash of `open sesame`, with the least work that bcrypt allows.
        try """
        tls_server_config: {cert_file: cert.pem, key_file: key.pem}
        basic_auth_users: {ali: "$2b$04$abcdefghijklmnopqrstuu/LVz6MZlItEy42I2juLihZ66HnQx/cy"}
        """.write(to: folder.appendingPathComponent("web.yml"), atomically: true, encoding: .utf8)
        let server = try await ServerProcess.prometheus(
            scraping: "127.0.0.1:\(pool.port)", webConfiguration: folder.appendingPathComponent("web.yml").path)
        let source = GateSource.prometheus(query: "vector(1)")

        var prometheus = try PrometheusServer("https://ali:open%20sesame@localhost:\(server.port)")
        prometheus.authorityFile = folder.appendingPathComponent("cert.pem").path
        try await withWatcher(of: [source]) {
            $0.prometheus = prometheus
        } body: { log, _ in
            #expect(await log.next(of: source) == .value(1))
        }
        prometheus.authorization = .basic(user: "ali", password: "close sesame")
        try await withWatcher(of: [source]) {
            $0.prometheus = prometheus
        } body: { log, _ in
            #expect(await log.failure(of: source) == "Prometheus answered with status 401")
        }
        prometheus.authorityFile = nil
        try await withWatcher(of: [source]) {
            $0.prometheus = prometheus
        } body: { log, _ in
            let sentence = try #require(await log.failure(of: source))
            #expect(!sentence.contains("sesame") && !sentence.contains("401"))
        }
        try await pool.stop()
    }

    @Test func endpointScrapeReadsThePageOfItsEndpoint() async throws {
        let page = #"vllm:num_requests_waiting{model_name="m"} 3"# + "\n"
        let server = try await TestHTTPServer.start { _ in .init(body: page) }
        let gate = try Self.gate(
            "endpoint-scrape",
            [
                "url": .text(server.url + "/metrics"), "metric": .text("vllm:num_requests_waiting"),
                "max_count_per_pod": .number(12),
            ])
        let read = try await budget(of: gate, isWanted: Self.isNumber)
        #expect(isClose(read, 0.75))
        try await server.stop()
    }

    @Test(.needsRedis) func theRedisGateReadsItsKeyOrItsFallback() async throws {
        let server = try await ServerProcess.redis()
        let gate = try Self.gate("redis", ["address": .text("127.0.0.1:\(server.port)"), "fallback": .number(1)])
        #expect(try await budget(of: gate) { $0 == .absent } == 1)
        let clients = RedisClients()
        let client = try clients.client(at: "127.0.0.1:\(server.port)")
        _ = try await client.send(RedisCommand("SET", ["dispatch-gate-budget", "0.25"]))
        #expect(try await budget(of: gate) { $0 == .value(0.25) } == 0.25)
        await clients.close()
    }

    @Test(.needsRedis) func theQuotaGateIsGrantedItsUnitsByRedisAndGivesThemBack() async throws {
        let server = try await ServerProcess.redis()
        var gate = try Self.gate(
            "redis-quota",
            [
                "address": .text("redis://127.0.0.1:\(server.port)"), "limit": .number(1),
                "mode": .text("concurrency"),
            ])
        let clients = RedisClients()
        let keeper = QuotaKeeper(redis: clients)
        let now = Instant(seconds: 1)
        func ask(_ id: UInt64) async throws -> GateVerdict {
            let subject = GateSubject(id: id, metadata: ["userid": "anna"])
            guard case .acquire(let request) = gate.apply(subject, now: now) else { return .wait }
            let granted = try await keeper.acquire(request)
            return gate.resume(id, granted: granted, now: now)
        }
        guard case .proceed = try await ask(1) else {
            Issue.record("the first was not let through")
            return
        }
        guard case .refuse = try await ask(2) else {
            Issue.record("the second was not refused")
            return
        }
        gate.release(1)
        await keeper.giveBack(gate.takeReturns())
        guard case .proceed = try await ask(3) else {
            Issue.record("the third was not let through")
            return
        }
        await clients.close()
    }
}
