import Basics
import DispatchGates
import GateSources
import RedisClient
import Synchronization

/// A redis-server, keepers that share it, and a processor of the reference on the same keys.
final class QuotaFixture: Sendable {
    let server: ServerProcess
    let clients = RedisClients()
    let redis: RedisClient
    private let owners = Mutex(0)

    init() async throws {
        server = try await ServerProcess.redis()
        redis = try clients.client(at: "127.0.0.1:\(server.port)")
    }

    /// One with connections of its own, as another process would have.
    func keeper() -> QuotaKeeper { QuotaKeeper(redis: RedisClients(), timeout: .seconds(1)) }

    func request(
        _ mode: QuotaRequest.Mode = .concurrency, limit: Int, window: Double = 60, key: String = "quota:userid:anna"
    ) -> QuotaRequest {
        let owner = owners.withLock { count in
            count += 1
            return count
        }
        return QuotaRequest(
            address: "127.0.0.1:\(server.port)", key: key, mode: mode, limit: limit, window: .seconds(window),
            owner: "owner-\(owner)")
    }

    /// What the reference does to take a slot (shared reference `async-processor.md` 4.2).
    func referenceAcquires(limit: Int, window: Int, key: String = "quota:userid:anna") async throws -> Bool {
        let script = RedisScript(
            """
            local held = tonumber(redis.call('GET', KEYS[1]) or '0')
            if held >= tonumber(ARGV[1]) then return 0 end
            redis.call('INCR', KEYS[1])
            redis.call('EXPIRE', KEYS[1], ARGV[2])
            return 1
            """)
        let reply = try await redis.run(
            script, keys: [.text(key)], arguments: [.integer(Int64(limit)), .integer(Int64(window))])
        return reply.asInteger == 1
    }

    /// What the reference does to give one back.
    func referenceReleases(window: Int, key: String = "quota:userid:anna") async throws {
        let script = RedisScript(
            """
            local held = tonumber(redis.call('GET', KEYS[1]) or '0')
            if held > 0 then
                redis.call('DECR', KEYS[1])
                redis.call('EXPIRE', KEYS[1], ARGV[1])
            end
            """)
        _ = try await redis.run(script, keys: [.text(key)], arguments: [.integer(Int64(window))])
    }

    /// What everybody who reads the number sees.
    func number(key: String = "quota:userid:anna") async throws -> Int64? {
        try await redis.send(RedisCommand("GET", [.text(key)])).asInteger
    }
}

/// Asks again and again until it holds; false if that takes longer than 30 s.
func eventually(_ condition: () async throws -> Bool) async throws -> Bool {
    let deadline = ContinuousClock.now + .seconds(30)
    while ContinuousClock.now < deadline {
        if try await condition() { return true }
        try await Task.sleep(for: .milliseconds(20))
    }
    return false
}
