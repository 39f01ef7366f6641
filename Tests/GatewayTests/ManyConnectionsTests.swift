import Gateway
import NIOCore
import Testing

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#elseif canImport(Musl)
    import Musl
#endif

@Suite("Many connections", .timeLimit(.minutes(2)))
struct ManyConnectionsTests {
    /// 10,000, or as many as this process may have with both ends of each in it.
    private var count: Int {
        var limit = rlimit()
        #if canImport(Glibc)
            getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        #else
            getrlimit(RLIMIT_NOFILE, &limit)
        #endif
        return min(10_000, max(100, Int(clamping: limit.rlim_cur) / 2 - 500))
    }

    @Test("idle connections by the thousand hinder nobody and are gone when they close")
    func idle() async throws {
        let upstream = try await TestUpstream.start()
        try await TestGateway.with(TestGateway.pool([upstream.port])) { test in
            let clients = try await withThrowingTaskGroup(of: [TestClient].self) { group in
                for part in 0..<50 {
                    let share = count * (part + 1) / 50 - count * part / 50
                    group.addTask {
                        var clients: [TestClient] = []
                        for _ in 0..<share { clients.append(try await test.connect()) }
                        return clients
                    }
                }
                return try await group.reduce(into: []) { $0 += $1 }
            }
            let client = try await test.connect()
            client.post(smallBody)
            await upstream.requests.next().answer("{}")
            #expect(await client.readResponse()?.status == 200)
            #expect(test.gateway.status().clientConnections == count + 1)
            for client in clients { client.close() }
            while test.gateway.status().clientConnections > 1 { await Task.yield() }
        }
    }
}
