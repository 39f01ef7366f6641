import Basics
import DispatchGates
import GateSources
import RedisClient
import Testing

/// Against a real redis-server.
@Suite(.needsRedis, .timeLimit(.minutes(5))) struct RedisKeyTests {
    @Test func aKeyIsReadAndWhatIsNoNumberIsAbsent() async throws {
        let server = try await ServerProcess.redis(["--requirepass", "hush hush"])
        let address = "redis://:hush%20hush@127.0.0.1:\(server.port)/3"
        let clients = RedisClients()
        let client = try clients.client(at: address)
        let source = GateSource.redisKey(address: address, key: "dispatch-gate-budget")
        try await withWatcher(of: [source]) { log, _ in
            #expect(await log.next(of: source) == .absent)
            for (text, reading) in [
                ("0.5", GateReading.value(0.5)), ("nonsense", .absent), (" 0\n", .value(0)), ("nan", .absent),
                ("1e0", .value(1)),
            ] {
                _ = try await client.send(RedisCommand("SET", ["dispatch-gate-budget", .text(text)]))
                #expect(await log.next(of: source) { $0 == reading } == reading)
            }
        }
        await clients.close()
    }

    @Test func aServerThatDiesFailsWithoutItsPasswordAndIsReadAgainWhenItComesBack() async throws {
        let server = try await ServerProcess.redis(["--requirepass", "hush"])
        let address = "redis://:hush@127.0.0.1:\(server.port)"
        let source = GateSource.redisKey(address: address, key: "budget")
        try await withWatcher(of: [source]) { configuration in
            configuration.timeout = .milliseconds(500)
        } body: { log, _ in
            #expect(await log.next(of: source) == .absent)
            server.kill()
            let sentence = try #require(await log.failure(of: source))
            #expect(!sentence.contains("hush"))
            try await server.start()
            #expect(await log.next(of: source) { $0 == .absent } == .absent)
        }
    }

    @Test func aKeyOfAnotherTypeFailsAndSoDoesAWrongAddress() async throws {
        let server = try await ServerProcess.redis()
        // Upstream's gates take a bare host and port.
        let address = "127.0.0.1:\(server.port)"
        let clients = RedisClients()
        _ = try await clients.client(at: "redis://" + address).send(RedisCommand("SADD", ["set", "x"]))
        let source = GateSource.redisKey(address: address, key: "set")
        let lost = GateSource.redisKey(address: "http://127.0.0.1", key: "x")
        try await withWatcher(of: [source, lost]) { log, _ in
            #expect(await log.failure(of: source)?.contains("WRONGTYPE") == true)
            #expect(await log.failure(of: lost)?.contains("the scheme of a Redis URL is redis or rediss") == true)
        }
        await clients.close()
    }
}
