import Admission
import Basics
import Gateway
import NIOCore
import NIOHTTP1
import Testing

@Suite("The capacity feed", .timeLimit(.minutes(1)))
struct CapacityFeedTests {
    private static let name = "x-weir-processor: p"

    private func follow(_ test: TestGateway, headers: [String] = [name]) async throws -> TestClient {
        let client = try await test.connect()
        client.send(
            (["GET /weir/v1/capacity HTTP/1.1", "Host: test"] + headers).joined(separator: "\r\n") + "\r\n\r\n")
        return client
    }

    private func batch(_ client: TestClient, headers: [String] = [name]) {
        client.post(
            smallBody, headers: headers + ["x-llm-d-inference-objective: batch", "x-llm-d-inference-ttl: 60000ms"])
    }

    /// Reads events until the credit's is as wanted.
    private func credit(_ client: TestClient, until isWanted: (String) -> Bool) async throws -> String {
        while true {
            let event = try #require(await client.read(until: "\n\n"))
            if event.contains("event: credit"), isWanted(event) { return event }
        }
    }

    @Test("begins with the version and the pools, then says the credits as they change, and ends with its client")
    func feed() async throws {
        let upstream = try await TestUpstream.start()
        try await TestGateway.with(TestGateway.pool([upstream.port], slots: 2)) { test in
            let feed = try await follow(test)
            let head = try #require(await feed.readHead())
            #expect(head.status == 200 && head.headers["content-type"] == "text/event-stream")
            let hello = try #require(await feed.read(until: "\n\n"))
            #expect(hello.hasSuffix("event: hello\ndata: {\"version\":1,\"keep_alive_ms\":5000}\n\n"))
            let pools = try #require(await feed.read(until: "\n\n"))
            #expect(pools == "event: pools\ndata: {\"pools\":[{\"pool\":\"pool\",\"models\":[\"m\"]}]}\n\n")
            let first = try #require(await feed.read(until: "\n\n"))
            #expect(first.hasPrefix("event: credit\ndata: {\"sequence\":1,\"pools\":[{\"pool\":\"pool\",\"credit\":"))

            // Three requests on two places: two run, one waits, and a handful may wait.
            var clients: [TestClient] = []
            for _ in 0..<3 {
                let client = try await test.connect()
                batch(client)
                clients.append(client)
            }
            let full = try await credit(feed) { $0.contains("\"waiting\":1,\"running\":2") }
            #expect(full.contains("\"credit\":6") || full.contains("\"credit\":7"))
            for _ in 0..<3 { await upstream.requests.next().answer("{}") }
            for client in clients { #expect(await client.readResponse()?.status == 200) }
            _ = try await credit(feed) { $0.contains("\"waiting\":0,\"running\":0") }
            feed.close()
            while test.gateway.status().clientConnections > 3 { await Task.yield() }
            test.expectIdle()
        }
    }

    @Test("a processor's requests wait beyond the pool's time limit, and are called back for real-time ones")
    func messages() async throws {
        let upstream = try await TestUpstream.start()
        var pool = TestGateway.pool([upstream.port], slots: 1)
        pool.admission.timeToLive = .milliseconds(1)
        try await TestGateway.with(pool) { test in
            let feed = try await follow(test)
            _ = try await credit(feed) { _ in true }
            let first = try await test.connect()
            batch(first)
            let running = await upstream.requests.next()
            #expect(running.head.headers["x-weir-processor"].isEmpty)
            let second = try await test.connect()
            batch(second)
            // An ordinary batch request does not wait so long.
            let ordinary = try await test.connect()
            batch(ordinary, headers: [])
            #expect(await ordinary.readResponse()?.headers["x-llm-d-request-dropped-reason"] == "rejected-ttl-expired")
            let realtime = try await test.connect()
            realtime.post(smallBody)
            #expect(await first.readResponse()?.headers["x-llm-d-request-dropped-reason"] == "evicted-priority")
            await upstream.requests.next().answer("{}")
            #expect(await realtime.readResponse()?.status == 200)
            await upstream.requests.next().answer("{}")
            #expect(await second.readResponse()?.status == 200)
        }
    }

    @Test("only trusted callers are answered")
    func trust() async throws {
        let upstream = try await TestUpstream.start()
        let pool = TestGateway.pool([upstream.port])
        try await TestGateway.with(pool, change: { $0.trustedCallers = [] }) { test in
            let feed = try await follow(test)
            #expect(await feed.readResponse()?.status == 404)
        }
    }

    @Test("a request without a name, or of another method, is told what is wrong")
    func refused() async throws {
        let upstream = try await TestUpstream.start()
        try await TestGateway.with(TestGateway.pool([upstream.port])) { test in
            for headers in [[], ["x-weir-processor: a b"], ["x-weir-processor: \(String(repeating: "x", count: 129))"]]
            {
                let client = try await follow(test, headers: headers)
                let response = await client.readResponse()
                #expect(response?.status == 400 && response?.body.contains("x-weir-processor") == true)
            }
            let post = try await test.connect()
            post.post("{}", path: "/weir/v1/capacity", headers: [Self.name])
            #expect(await post.readResponse()?.status == 405)
        }
    }

    @Test("the same name takes over, and a gateway that stops says so")
    func endings() async throws {
        let upstream = try await TestUpstream.start()
        try await TestGateway.with(TestGateway.pool([upstream.port])) { test in
            let first = try await follow(test)
            _ = try await credit(first) { _ in true }
            let second = try await follow(test)
            #expect(await first.read(until: "event: end\n") != nil)
            #expect(try #require(await first.read(until: "\n\n")).contains("another connection"))
            _ = try await credit(second) { _ in true }
            async let isFinished = test.gateway.drain(timeout: .seconds(50))
            #expect(await second.readToEnd().contains("the gateway stops"))
            #expect(await isFinished)
        }
    }

    @Test("more processors than may follow are turned away")
    func tooMany() async throws {
        let upstream = try await TestUpstream.start()
        try await TestGateway.with(TestGateway.pool([upstream.port])) { test in
            for number in 0..<64 {
                let feed = try await follow(test, headers: ["x-weir-processor: p\(number)"])
                #expect(await feed.readHead()?.status == 200)
            }
            let last = try await follow(test, headers: ["x-weir-processor: last"])
            #expect(await last.readHead()?.status == 429)
        }
    }
}
