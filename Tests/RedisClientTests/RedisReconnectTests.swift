import Basics
import Foundation
import Testing

@testable import RedisClient

@Suite struct RedisReconnectTests {
    @Test func callsInFlightFailAndWaitingOnesSucceedWhenTheServerComesBack() async throws {
        try await RedisTestServer.run { server in
            try await server.withClient { client in
                _ = try await client.send(RedisCommand("SET", ["a", "1"]))
                let inFlight = Task { try await client.send(RedisCommand("BLPOP", ["nothing", 5])) }
                try await server.withClient { other in
                    try await until {
                        try await other.send(RedisCommand("INFO", ["clients"])).asString?
                            .contains("blocked_clients:1") == true
                    }
                }
                server.signal(SIGKILL)
                await #expect(throws: RedisError.connectionLost(commandMayHaveRun: true)) { try await inFlight.value }

                let waiting = (0..<100).map { number in
                    Task { try await client.send(RedisCommand("RPUSH", ["b", .integer(number)])) }
                }
                try await server.start()
                let clock = ContinuousClock()
                let start = clock.now
                for task in waiting { _ = try await task.value }
                #expect(clock.now - start < .seconds(6))
                #expect(try await client.send(RedisCommand("LLEN", ["b"])) == .integer(100))
            }
        }
    }

    @Test func aQuickRestartIsNoticedQuickly() async throws {
        try await RedisTestServer.run { server in
            try await server.withClient { client in
                _ = try await client.send(RedisCommand("PING"))
                for _ in 0..<3 {
                    let lost = ContinuousClock.now
                    server.signal(SIGKILL)
                    try await server.start()
                    let start = ContinuousClock.now
                    // The first call may still be written to the connection that is dead.
                    while await client.failure(of: RedisCommand("PING")) == .connectionLost(commandMayHaveRun: true) {}
                    // A pause is at most about as long as all pauses before it together.
                    #expect(ContinuousClock.now - start < (start - lost) * 2 + .seconds(1))
                    #expect(await client.failure(of: RedisCommand("PING")) == nil)
                }
            }
        }
    }

    @Test func withoutAServerACallFailsAfterItsTimeWithTheReason() async throws {
        let port = try await RedisTestServer.freePort()
        var configuration = RedisClient.Configuration(address: RedisAddress(host: "127.0.0.1", port: port))
        configuration.commandTimeout = .milliseconds(150)
        let client = RedisClient(configuration)
        let start = ContinuousClock.now
        let error = await client.failure(of: RedisCommand("PING"))
        let waited = ContinuousClock.now - start
        guard case .notConnected(let reason) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(reason == "the connection failed: Connection refused")
        #expect(waited >= .milliseconds(145))
        #expect(waited < .seconds(3))
        await client.close()
    }

    @Test func aServerThatStopsAnsweringIsGivenUp() async throws {
        try await RedisTestServer.run { server in
            try await server.withClient {
                $0.commandTimeout = .milliseconds(200)
            } body: { client in
                _ = try await client.send(RedisCommand("PING"), timeout: .seconds(9))
                server.signal(SIGSTOP)
                let late = Task { try await client.send(RedisCommand("INCR", ["n"]), timeout: .seconds(9)) }
                let error = await client.failure(of: RedisCommand("PING"))
                #expect(error == .timedOut)
                // Not a byte came in the meantime: whoever has more patience learns it now.
                let end = await late.result
                #expect(throws: RedisError.self) { try end.get() }
                server.signal(SIGCONT)
                _ = try await client.send(RedisCommand("PING"), timeout: .seconds(9))
            }
        }
    }

    @Test func aHalfOpenConnectionIsNoticedWithoutCalls() async throws {
        try await RedisTestServer.run { server in
            try await server.withClient {
                $0.idleTimeout = .milliseconds(50)
                $0.commandTimeout = .milliseconds(200)
            } body: { client in
                let events = Mailbox<RedisSubscriptionEvent>()
                let subscription = client.subscribe(channels: ["c"]) { events.post($0) }
                #expect(await events.next() == .subscribed(mayHaveMissed: false))
                server.signal(SIGSTOP)
                #expect(await events.next() == .interrupted(reason: "the server gives no sign of life"))
                guard case .connecting = subscription.status else {
                    Issue.record("\(subscription.status)")
                    return
                }
                server.signal(SIGCONT)
                #expect(await events.next() == .subscribed(mayHaveMissed: true))
                await subscription.close()
            }
        }
    }

    @Test func aQuietServerThatAnswersIsKept() async throws {
        try await RedisTestServer.run { server in
            try await server.withClient {
                $0.idleTimeout = .milliseconds(10)
            } body: { client in
                let before = try await client.send(RedisCommand("CLIENT", ["ID"]))
                try await server.withClient { other in
                    try await until {
                        let text = try await other.send(RedisCommand("INFO", ["commandstats"])).asString ?? ""
                        let calls = text.split(separator: "cmdstat_ping:calls=").last?.prefix { $0.isNumber }
                        return (calls.flatMap { Int($0) } ?? 0) > 8
                    }
                }
                #expect(try await client.send(RedisCommand("CLIENT", ["ID"])) == before)
            }
        }
    }
}
