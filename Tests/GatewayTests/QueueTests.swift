import Admission
import Basics
import Gateway
import InferenceAPI
import NIOCore
import NIOHTTP1
import Pool
import Testing

@Suite("Waiting", .timeLimit(.minutes(5)))
struct QueueTests {
    @Test("requests that wait are served strictly by priority, then in order of arrival")
    func priorities() async throws {
        let upstream = try await TestUpstream.start()
        try await TestGateway.with(TestGateway.pool([upstream.port], slots: 1)) { test in
            let first = try await test.connect()
            first.post(smallBody)
            let running = await upstream.requests.next()
            var clients: [TestClient] = []
            for (index, objective) in ["batch", "realtime", "urgent", "realtime", "unknown"].enumerated() {
                let client = try await test.connect()
                client.post(
                    smallBody,
                    headers: ["x-llm-d-inference-objective: \(objective)", "x-request-id: \(objective)-\(index)"])
                clients.append(client)
                await test.until { $0.requests == index + 2 }
            }
            #expect(test.pool.queue.map(\.priority) == [5, 0, -1])
            running.answer("{}")
            var order: [String] = []
            for _ in 0..<4 {
                let request = await upstream.requests.next()
                order.append(request.head.headers["x-request-id"].first ?? "")
                request.answer("{}")
            }
            #expect(order == ["urgent-2", "realtime-1", "realtime-3", "unknown-4"])
            #expect(await first.readResponse()?.status == 200)
            for client in clients.dropFirst() { #expect(await client.readResponse()?.status == 200) }
        }
    }

    @Test("a request that waited as long as it may gets 429, a reason and a time to retry")
    func expiry() async throws {
        let upstream = try await TestUpstream.start()
        let limits = AdmissionConfiguration(timeToLive: .milliseconds(80))
        try await TestGateway.with(TestGateway.pool([upstream.port], slots: 1, admission: limits)) { test in
            let first = try await test.connect()
            first.post(smallBody)
            let running = await upstream.requests.next()
            let second = try await test.connect()
            second.post(smallBody)
            let response = try #require(await second.readResponse())
            #expect(response.status == 429)
            #expect(response.headers["x-llm-d-request-dropped-reason"] == "rejected-ttl-expired")
            #expect(response.headers["retry-after"].flatMap { Int($0) } ?? 0 >= 1)
            #expect(response.body.contains(#""code":"queue_timeout""#))
            #expect(await test.observer.records.next().error?.code == .queueTimeout)
            running.answer("{}")
            #expect(await first.readResponse()?.status == 200)
        }
    }

    @Test("a trusted caller may shorten the wait, but not lengthen it", arguments: ["20ms", "1h"])
    func ownTimeToLive(text: String) async throws {
        let upstream = try await TestUpstream.start()
        let limits = AdmissionConfiguration(timeToLive: text == "1h" ? .milliseconds(20) : .seconds(3600))
        try await TestGateway.with(TestGateway.pool([upstream.port], slots: 1, admission: limits)) { test in
            let first = try await test.connect()
            first.post(smallBody)
            _ = await upstream.requests.next()
            let second = try await test.connect()
            second.post(smallBody, headers: ["x-llm-d-inference-ttl: \(text)"])
            let response = try #require(await second.readResponse())
            #expect(response.status == 429)
            #expect(response.body.contains("within 20 ms"))
        }
    }

    @Test("with the queue full, a request is turned away at once")
    func full() async throws {
        let upstream = try await TestUpstream.start()
        let limits = AdmissionConfiguration(maxRequestsPerBand: 1)
        try await TestGateway.with(TestGateway.pool([upstream.port], slots: 1, admission: limits)) { test in
            let first = try await test.connect()
            first.post(smallBody)
            let running = await upstream.requests.next()
            let second = try await test.connect()
            second.post(smallBody)
            await test.until { $0.queue.first?.requests == 1 }
            let third = try await test.connect()
            third.post(smallBody)
            let response = try #require(await third.readResponse())
            #expect(response.status == 429)
            #expect(response.headers["x-llm-d-request-dropped-reason"] == "rejected-saturated")
            running.answer("{}")
            await upstream.requests.next().answer("{}")
            #expect(await second.readResponse()?.status == 200)
        }
    }

    @Test("a client that leaves while its request waits is forgotten")
    func leaving() async throws {
        let upstream = try await TestUpstream.start()
        try await TestGateway.with(TestGateway.pool([upstream.port], slots: 1)) { test in
            let first = try await test.connect()
            first.post(smallBody)
            let running = await upstream.requests.next()
            let second = try await test.connect()
            second.post(smallBody)
            await test.until { $0.queue.first?.requests == 1 }
            second.close()
            let record = await test.observer.records.next()
            #expect(record.clientLeft && record.status == 499 && record.attempts == 0)
            #expect(test.pool.queue.isEmpty)
            running.answer("{}")
            #expect(await first.readResponse()?.status == 200)
            #expect(await test.observer.records.next().status == 200)
            #expect(upstream.requests.count == 0)
            test.expectIdle()
        }
    }

    @Test("the first token of an answer in one piece is assumed, but not before that of a stream that came earlier")
    func unseenFirstToken() async throws {
        let upstream = try await TestUpstream.start()
        try await TestGateway.with(TestGateway.pool([upstream.port])) { test in
            let whole = try await test.connect()
            whole.post(#"{"model":"m","stream":false}"#)
            let request = await upstream.requests.next()
            let streaming = try await test.connect()
            streaming.post(#"{"model":"m","stream":true}"#)
            let stream = await upstream.requests.next()
            await test.until { $0.endpoints[0].load.requestsAwaitingFirstToken == 1 }
            let later = try await test.connect()
            later.post(#"{"model":"m","stream":false}"#)
            let last = await upstream.requests.next()
            request.answer("{}")
            #expect(await whole.readResponse()?.status == 200)
            #expect(test.pool.endpoints[0].load.requestsAwaitingFirstToken == 2)
            stream.begin()
            stream.send("data: {}\n\n")
            await test.until { $0.endpoints[0].load.requestsAwaitingFirstToken == 0 }
            stream.end()
            last.answer("{}")
            #expect(await streaming.readResponse()?.status == 200)
            #expect(await later.readResponse()?.status == 200)
        }
    }

    @Test("a long body is not read further while its request waits")
    func bodyPauses() async throws {
        let upstream = try await TestUpstream.start()
        try await TestGateway.with(TestGateway.pool([upstream.port], slots: 1)) { test in
            let first = try await test.connect()
            first.post(smallBody)
            let running = await upstream.requests.next()
            let second = try await test.connect()
            let filler = String(repeating: "x", count: 30 << 20)
            second.post(#"{"model":"m","prompt":"\#(filler)"}"#)
            await test.until { $0.queue.first?.requests == 1 }
            // What is held at the moment of routing, and one turn of reading more.
            #expect(test.gateway.status().heldBodyBytes < 4 << 20)
            running.answer("{}")
            await upstream.requests.next().answer("{}")
            #expect(await second.readResponse()?.status == 200)
            _ = await test.observer.records.next()
            _ = await test.observer.records.next()
            test.expectIdle()
        }
    }
}
