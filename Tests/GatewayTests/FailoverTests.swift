import Basics
import Gateway
import InferenceAPI
import NIOCore
import NIOHTTP1
import Synchronization
import Testing

@Suite("Endpoints that fail", .timeLimit(.minutes(5)))
struct FailoverTests {
    private static let portsTaken = Atomic(Int.random(in: 0..<5000))

    /// A port on which nobody listens, below those that the system hands out to other tests meanwhile.
    private func deadPort() async throws -> Int {
        while true {
            let port = 20_000 + Self.portsTaken.add(1, ordering: .relaxed).newValue % 12_000
            if let upstream = try? await TestUpstream.start(port: port) {
                try await upstream.stop()
                return port
            }
        }
    }

    @Test("an endpoint that refuses connections is passed over, and used again once it is back")
    func downAndUp() async throws {
        let port = try await deadPort()
        let alive = try await TestUpstream.start()
        try await TestGateway.with(TestGateway.pool([port, alive.port])) { test in
            #expect(test.pool.endpoints.map(\.isUp) == [false, true])
            let change = await test.observer.endpointChanges.next()
            #expect(change.endpoint == "127.0.0.1:\(port)" && !change.isUp)
            let client = try await test.connect()
            for _ in 0..<4 {
                client.post(smallBody)
                await alive.requests.next().answer("{}")
                #expect(await client.readResponse()?.status == 200)
            }
            let back = try await TestUpstream.start(port: port)
            #expect(await test.observer.endpointChanges.next().isUp)
            #expect(test.pool.endpoints.map(\.isUp) == [true, true])
            try await back.stop()
        }
    }

    @Test("a connection refused at the moment of sending moves the request to another endpoint")
    func refusedConnection() async throws {
        let dying = try await TestUpstream.start()
        let alive = try await TestUpstream.start()
        try await TestGateway.with(
            TestGateway.pool([dying.port, alive.port]),
            change: { $0.limits.upstreamIdle = .zero }
        ) { test in
            try await dying.stop()
            let client = try await test.connect()
            var attempts = 0
            for _ in 0..<3 {
                client.post(smallBody)
                await alive.requests.next().answer("{}")
                #expect(await client.readResponse()?.status == 200)
                attempts += await test.observer.records.next().attempts
            }
            #expect(attempts == 4, "one of three met the dead endpoint first")
            #expect(!test.pool.endpoints[0].isUp)
            test.expectIdle()
        }
    }

    @Test("an endpoint may be named by its host name")
    func hostName() async throws {
        let upstream = try await TestUpstream.start()
        var pool = TestGateway.pool([upstream.port])
        pool.endpoints[0].host = "localhost"
        try await TestGateway.with(pool) { test in
            let client = try await test.connect()
            client.post(smallBody)
            let request = await upstream.requests.next()
            #expect(request.head.headers["host"] == ["localhost:\(upstream.port)"])
            request.answer("{}")
            #expect(await client.readResponse()?.status == 200)
        }
    }

    @Test("a port that is taken, or nothing to serve, is an error at the start")
    func startErrors() async throws {
        let upstream = try await TestUpstream.start()
        let pool = TestGateway.pool([upstream.port])
        await #expect(throws: IOError.self) {
            try await TestGateway.with(pool, change: { $0.port = upstream.port }) { _ in }
        }
        await #expect(throws: Gateway.StartError.nothingToServe) {
            try await TestGateway.with(pool, change: { $0.pools = [] }) { _ in }
        }
    }

    @Test("with no endpoint up, a request gets 503 and a reason")
    func nobodyUp() async throws {
        let port = try await deadPort()
        try await TestGateway.with(TestGateway.pool([port])) { test in
            let client = try await test.connect()
            client.post(smallBody)
            let response = try #require(await client.readResponse())
            #expect(response.status == 503)
            #expect(response.headers["x-llm-d-request-dropped-reason"] == "rejected-no-endpoints")
            test.expectIdle()
        }
    }

    @Test("a kept connection that dies unused costs the client nothing")
    func staleConnection() async throws {
        let upstream = try await TestUpstream.start()
        try await TestGateway.with(TestGateway.pool([upstream.port])) { test in
            let client = try await test.connect()
            client.post(smallBody)
            await upstream.requests.next().answer("{}")
            #expect(await client.readResponse()?.status == 200)
            // The second request goes out on the kept connection, which the endpoint closes without a word.
            client.post(smallBody)
            await upstream.requests.next().closeConnection()
            await upstream.requests.next().answer("again")
            #expect(await client.readResponse()?.body == "again")
            _ = await test.observer.records.next()
            #expect(await test.observer.records.next().attempts == 1, "the place stays the same")
            test.expectIdle()
        }
    }

    @Test("an endpoint that breaks off before its answer is replaced; one that breaks off in it is not")
    func brokenAnswer() async throws {
        let first = try await TestUpstream.start()
        let second = try await TestUpstream.start()
        try await TestGateway.with(TestGateway.pool([first.port, second.port])) { test in
            let client = try await test.connect()
            client.post(smallBody)
            let (one, other) = await eitherRequest(first, second)
            one.closeConnection()
            let retried = await other.requests.next()
            retried.begin()
            // Nobody has seen a byte of the body: the head alone does not bind.
            retried.closeConnection()
            let response = try #require(await client.readResponse())
            #expect(response.status == 502)
            #expect(response.body.contains("upstream_failure"))
            #expect(await test.observer.records.next().attempts == 2)
            test.expectIdle()
        }
    }

    /// The request, whichever endpoint it reached, and the other endpoint.
    private func eitherRequest(
        _ first: TestUpstream, _ second: TestUpstream
    ) async -> (UpstreamRequest, TestUpstream) {
        while first.requests.count + second.requests.count == 0 { await Task.yield() }
        return first.requests.count > 0 ? (await first.requests.next(), second) : (await second.requests.next(), first)
    }

    @Test("a stream that breaks off ends with an error event")
    func brokenStream() async throws {
        let upstream = try await TestUpstream.start()
        try await TestGateway.with(TestGateway.pool([upstream.port])) { test in
            let client = try await test.connect()
            client.post(smallBody)
            let request = await upstream.requests.next()
            request.begin()
            request.send("data: {\"a\":1}\n\ndata: {\"cut")
            #expect(await client.read(until: "cut") != nil)
            request.closeConnection()
            let rest = try #require(await client.read(until: "0\r\n\r\n"))
            #expect(rest.contains("\n\n"))
            #expect(rest.contains(#"data: {"error":{"message":"The model server closed"#))
            let record = await test.observer.records.next()
            #expect(record.isCut && record.error?.code == .upstreamFailure)
            test.expectIdle()
            // The stream ended properly, so the connection serves on.
            client.post(smallBody)
            await upstream.requests.next().answer("{}")
            #expect(await client.readResponse()?.status == 200)
        }
    }

    @Test("an answer of announced length that breaks off closes the client's connection")
    func brokenBody() async throws {
        let upstream = try await TestUpstream.start()
        try await TestGateway.with(TestGateway.pool([upstream.port])) { test in
            let client = try await test.connect()
            client.post(smallBody)
            let request = await upstream.requests.next()
            request.begin(["content-type": "application/json", "content-length": "100"])
            request.send("half")
            #expect(await client.read(until: "half") != nil)
            request.closeConnection()
            #expect(await client.readToEnd() == "")
            #expect(await test.observer.records.next().isCut)
            test.expectIdle()
        }
    }

    @Test(
        "an endpoint that pauses for too long within its answer is given up and its place is free",
        arguments: [true, false])
    func stalledAnswer(isStream: Bool) async throws {
        let upstream = try await TestUpstream.start()
        try await TestGateway.with(
            TestGateway.pool([upstream.port]), change: { $0.limits.upstreamStallTimeout = .milliseconds(50) }
        ) { test in
            let client = try await test.connect()
            client.post(smallBody)
            let request = await upstream.requests.next()
            request.begin(["content-type": isStream ? "text/event-stream" : "application/json"])
            request.send("data: {\"cut")
            #expect(await client.read(until: "cut") != nil)
            if isStream {
                let rest = try #require(await client.read(until: "0\r\n\r\n"))
                #expect(rest.contains(#"data: {"error":{"message":"The model server paused its answer"#))
            } else {
                #expect(await client.readToEnd() == "\r\n")
            }
            try await request.closed()
            let record = await test.observer.records.next()
            #expect(record.isCut && record.error?.code == .upstreamTimeout)
            test.expectIdle()
        }
    }

    @Test("an endpoint that no longer answers checks goes down, and comes back with its first answer")
    func silentChecks() async throws {
        let upstream = try await TestUpstream.start()
        var pool = TestGateway.pool([upstream.port], metrics: .detected)
        pool.scrapeInterval = .milliseconds(50)
        pool.scrapeTimeout = .milliseconds(50)
        try await TestGateway.with(pool) { test in
            #expect(test.pool.endpoints[0].isUp)
            upstream.answersChecks.store(false, ordering: .relaxed)
            #expect(await !test.observer.endpointChanges.next().isUp)
            upstream.answersChecks.store(true, ordering: .relaxed)
            #expect(await test.observer.endpointChanges.next().isUp)
        }
    }

    @Test("an endpoint that stays silent for too long is given up")
    func silence() async throws {
        let upstream = try await TestUpstream.start()
        try await TestGateway.with(
            TestGateway.pool([upstream.port]), change: { $0.limits.firstByteTimeout = .milliseconds(50) }
        ) { test in
            let client = try await test.connect()
            client.post(smallBody)
            let request = await upstream.requests.next()
            #expect(await client.readResponse()?.status == 504)
            try await request.closed()
            _ = await test.observer.records.next()
            test.expectIdle()
        }
    }
}
