import Basics
import Gateway
import NIOCore
import Testing

@Suite("Draining", .timeLimit(.minutes(5)))
struct DrainTests {
    @Test("running requests finish, waiting ones are told to go elsewhere, new connections are refused")
    func drain() async throws {
        let upstream = try await TestUpstream.start()
        try await TestGateway.with(TestGateway.pool([upstream.port], slots: 1)) { test in
            let idle = try await test.connect()
            let first = try await test.connect()
            first.post(smallBody)
            let running = await upstream.requests.next()
            let second = try await test.connect()
            second.post(smallBody)
            await test.until { $0.queue.first?.requests == 1 }
            async let isFinished = test.gateway.drain(timeout: .seconds(50))
            let refused = try #require(await second.readResponse())
            #expect(refused.status == 503)
            #expect(refused.headers["x-llm-d-request-dropped-reason"] == "rejected-shutting-down")
            #expect(refused.headers["connection"] == "close")
            #expect(await idle.readToEnd() == "")
            #expect(test.gateway.isDraining)
            running.answer("{}")
            let answered = try #require(await first.readResponse())
            #expect(answered.status == 200 && answered.headers["connection"] == "close")
            #expect(await isFinished)
            await #expect(throws: (any Error).self) { _ = try await test.connect() }
            test.expectIdle()
        }
    }

    @Test("stopping twice is stopping once")
    func twice() async throws {
        let upstream = try await TestUpstream.start()
        try await TestGateway.with(TestGateway.pool([upstream.port])) { test in
            async let other: Void = test.gateway.shutdown()
            await test.gateway.shutdown()
            await other
            // The fixture stops it a third time.
            await #expect(throws: (any Error).self) { _ = try await test.connect() }
        }
    }

    @Test("a stream that outlasts the drain ends with an error event")
    func longStream() async throws {
        let upstream = try await TestUpstream.start()
        try await TestGateway.with(TestGateway.pool([upstream.port])) { test in
            let client = try await test.connect()
            client.post(smallBody)
            let request = await upstream.requests.next()
            request.begin()
            request.send("data: {}\n\n")
            #expect(await client.read(until: "data: {}\n\n") != nil)
            #expect(await !test.gateway.drain(timeout: .milliseconds(20)))
            #expect(await client.readToEnd().contains(#""code":"shutting_down""#))
            try await request.closed()
            test.expectIdle()
        }
    }
}
