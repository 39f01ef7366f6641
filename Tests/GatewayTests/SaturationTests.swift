import Basics
import Gateway
import Harvest
import NIOCore
import Pool
import Testing

@Suite("Saturation of a pool", .timeLimit(.minutes(1)))
struct SaturationTests {
    @Test("grows with the requests in flight to 1 where nothing fits in, and stays there while real-time requests wait")
    func grows() async throws {
        let upstream = try await TestUpstream.start()
        try await TestGateway.with(TestGateway.pool([upstream.port], slots: 4)) { test in
            #expect(test.pool.saturation == 0)
            let client = try await test.connect()
            client.post(smallBody)
            let first = await upstream.requests.next()
            #expect((0.25...0.75).contains(test.pool.saturation))
            var clients: [TestClient] = []
            for _ in 0..<4 {
                let client = try await test.connect()
                client.post(smallBody)
                clients.append(client)
            }
            await test.until { $0.queue.first?.requests == 1 }
            #expect(test.pool.saturation >= 1)
            first.answer("{}")
            for _ in 0..<4 { await upstream.requests.next().answer("{}") }
            for client in clients { #expect(await client.readResponse()?.status == 200) }
            await test.until { $0.requests == 0 }
            #expect(test.pool.saturation == 0)
        }
    }

    @Test("is 1 where no endpoint is up, and where batch work is not let in")
    func closed() async throws {
        let upstream = try await TestUpstream.start()
        let port = upstream.port
        try await upstream.stop()
        try await TestGateway.with(TestGateway.pool([port])) { test in
            await test.until { !$0.endpoints[0].isUp }
            #expect(test.pool.saturation == 1)
        }
        let other = try await TestUpstream.start()
        var pool = TestGateway.pool([other.port])
        pool.harvest.isEnabled = false
        try await TestGateway.with(pool) { test in #expect(test.pool.saturation == 1) }
    }
}
