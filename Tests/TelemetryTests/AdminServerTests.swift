import Foundation
import FoundationNetworking
import Logging
import ServiceLifecycle
import Synchronization
import Testing

@testable import Telemetry

@Suite(.timeLimit(.minutes(5))) struct AdminServerTests {
    private struct Answer {
        let status: Int
        let fields: [String: String]
        let body: String
    }

    private func get(_ path: String, port: Int, method: String = "GET") async throws -> Answer {
        var request = URLRequest(url: try #require(URL(string: "http://127.0.0.1:\(port)\(path)")))
        request.httpMethod = method
        let (data, response) = try await URLSession.shared.data(for: request)
        let http = try #require(response as? HTTPURLResponse)
        var fields: [String: String] = [:]
        for (name, value) in http.allHeaderFields { fields["\(name)".lowercased()] = "\(value)" }
        return Answer(status: http.statusCode, fields: fields, body: String(decoding: data, as: UTF8.self))
    }

    /// Runs a server on a free port for the length of `body`, then shuts it down gracefully.
    private func withServer(
        registry: MetricsRegistry = MetricsRegistry(),
        readiness: @escaping @Sendable () -> ReadinessReport = { ReadinessReport(checks: []) },
        status: @escaping @Sendable () -> StatusSnapshot = { StatusSnapshot(version: "test", uptimeSeconds: 1) },
        _ body: (Int) async throws -> Void
    ) async throws {
        let (ports, port) = AsyncStream<Int>.makeStream(bufferingPolicy: .bufferingNewest(1))
        var quiet = Logger(label: "test")
        quiet.logLevel = .error
        let server = AdminServer(
            host: "127.0.0.1", port: 0, registry: registry, readiness: readiness, status: status, logger: quiet,
            onListening: { port.yield($0) })
        let group = ServiceGroup(configuration: .init(services: [server], logger: quiet))
        try await withThrowingTaskGroup { tasks in
            tasks.addTask { try await group.run() }
            var iterator = ports.makeAsyncIterator()
            let bound = try #require(await iterator.next())
            #expect(bound > 0)
            try await body(bound)
            await group.triggerGracefulShutdown()
            try await tasks.waitForAll()
            await #expect(throws: URLError.self) { _ = try await get("/healthz", port: bound) }
        }
    }

    @Test func aliveMeansOkWhateverTheReadiness() async throws {
        let down = ReadinessReport(checks: [.init(name: "endpoints", isMet: false, detail: "none")])
        try await withServer(readiness: { down }) { port in
            let answer = try await get("/healthz", port: port)
            #expect(answer.status == 200)
            #expect(answer.body == "ok\n")
            #expect(try await get("/healthz", port: port, method: "HEAD").status == 200)
        }
    }

    @Test func readinessFollowsItsChecksAndSaysWhy() async throws {
        let isDraining = Atomic(false)
        let report: @Sendable () -> ReadinessReport = {
            let draining = isDraining.load(ordering: .relaxed)
            return ReadinessReport(checks: [
                .init(name: "endpoints", isMet: true, detail: "2 of 3 endpoints are up"),
                .init(name: "drain", isMet: !draining, detail: draining ? "the process is stopping" : "not stopping"),
            ])
        }
        try await withServer(readiness: report) { port in
            let ready = try await get("/readyz", port: port)
            #expect(ready.status == 200)
            #expect(
                ready.body
                    == #"{"ready":true,"checks":[{"name":"endpoints","met":true,"detail":"2 of 3 endpoints are up"},"#
                    + #"{"name":"drain","met":true,"detail":"not stopping"}]}"#)
            isDraining.store(true, ordering: .relaxed)
            let draining = try await get("/readyz", port: port)
            #expect(draining.status == 503)
            #expect(draining.body.hasPrefix(#"{"ready":false,"#))
            #expect(draining.body.contains(#"{"name":"drain","met":false,"detail":"the process is stopping"}"#))
        }
    }

    @Test func metricsAreServedAsPrometheusText() async throws {
        let registry = MetricsRegistry()
        registry.instrument(MetricCatalog.retries, "chat").increment()
        try await withServer(registry: registry) { port in
            let answer = try await get("/metrics", port: port)
            #expect(answer.status == 200)
            #expect(answer.fields["content-type"] == "text/plain; version=0.0.4; charset=utf-8")
            #expect(answer.body.hasSuffix("# TYPE weir_retries_total counter\nweir_retries_total{pool=\"chat\"} 1\n"))
        }
    }

    @Test func theStatusIsTheSnapshotOfTheMoment() async throws {
        let snapshot = StatusSnapshot(
            version: "1.0", uptimeSeconds: 12.4, connections: 3,
            pools: [
                .init(
                    name: "chat", models: ["llama"],
                    endpoints: [
                        .init(
                            url: "http://a:1", isUp: true, realtimeInFlight: 4, batchInFlight: 5, waiting: 0,
                            kvUsage: 0.5
                        ),
                        .init(url: "http://b:1", isUp: false, realtimeInFlight: 0, batchInFlight: 0),
                    ],
                    bands: [.init(priority: -1, waiting: 9)], allowedBatchRequests: 7, batchRequestsInFlight: 5)
            ],
            queues: [.init(name: "default", depth: 100, leased: 10, finished: 2)])
        try await withServer(status: { snapshot }) { port in
            let answer = try await get("/status.json", port: port)
            #expect(answer.status == 200)
            #expect(
                answer.body
                    == #"{"version":"1.0","uptime_s":12,"connections":3,"pools":[{"name":"chat","models":["llama"],"#
                    + #""endpoints":[{"url":"http://a:1","up":true,"realtime_in_flight":4,"batch_in_flight":5,"waiting":0,"#
                    + #""kv_usage":0.5},{"url":"http://b:1","up":false,"realtime_in_flight":0,"batch_in_flight":0}],"#
                    + #""bands":[{"priority":-1,"waiting":9}],"allowed_batch_requests":7,"batch_requests_in_flight":5}],"#
                    + #""queues":[{"name":"default","depth":100,"leased":10,"finished":2}]}"#)
        }
    }

    @Test func thePageNeedsNothingFromOutside() async throws {
        try await withServer { port in
            let page = try await get("/", port: port)
            #expect(page.status == 200)
            #expect(page.fields["content-type"] == "text/html; charset=utf-8")
            #expect(page.fields["content-security-policy"]?.hasPrefix("default-src 'none';") == true)
            #expect(!page.body.contains("//cdn") && !page.body.contains("http://") && !page.body.contains("https://"))
            #expect(page.body.contains(#"fetch("/status.json")"#))
            #expect(try await get("/elsewhere", port: port).status == 404)
        }
    }

    @Test func anAddressInUseIsAnError() async throws {
        try await withServer { port in
            let second = AdminServer(
                host: "127.0.0.1", port: port, registry: MetricsRegistry(), readiness: { ReadinessReport(checks: []) },
                status: { StatusSnapshot(version: "", uptimeSeconds: 0) }, logger: Logger(label: "test"))
            await #expect(throws: (any Error).self) { try await second.run() }
        }
    }
}
