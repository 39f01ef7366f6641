import Basics
import Foundation
import Testing

@testable import RedisClient

@Suite struct RedisClientTests {
    @Test func tenThousandConcurrentCallsKeepTheirOrderAndGetTheirOwnReplies() async throws {
        try await RedisTestServer.run { server in
            try await server.withClient { client in
                let wrong = try await withThrowingTaskGroup(of: Bool.self) { group in
                    for number in 0..<10_000 {
                        group.addTask {
                            let reply = try await client.send(RedisCommand("ECHO", [.integer(Int64(number))]))
                            return reply.asInteger != Int64(number)
                        }
                    }
                    return try await group.reduce(0) { $0 + ($1 ? 1 : 0) }
                }
                #expect(wrong == 0)

                // One task's calls take effect in the order in which they are made, whatever others do.
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for task in 0..<20 {
                        group.addTask {
                            for step in 1...50 {
                                let list = RedisArgument.text("list:\(task)")
                                let length = try await client.send(
                                    RedisCommand("RPUSH", [list, .integer(Int64(step))]))
                                #expect(length == .integer(Int64(step)))
                            }
                        }
                    }
                    try await group.waitForAll()
                }
                let connections = try await client.send(RedisCommand("CLIENT", ["LIST", "TYPE", "normal"])).asString
                #expect(connections?.split(separator: "\n").count == 1)
            }
        }
    }

    @Test func aPipelineReturnsEveryReplyAndItsErrors() async throws {
        try await RedisTestServer.run { server in
            try await server.withClient { client in
                let replies = try await client.send([
                    RedisCommand("SET", ["text", "a"]), RedisCommand("INCR", ["text"]), RedisCommand("GET", ["text"]),
                    RedisCommand("GET", ["absent"]), RedisCommand("HGETALL", ["absent"]),
                ])
                #expect(replies.count == 5)
                #expect(try replies[0].get() == .simple("OK"))
                #expect(throws: RedisServerError.self) { try replies[1].get() }
                #expect(try replies[2].get().asString == "a")
                #expect(try replies[3].get().isNull)
                #expect(try replies[4].get() == .map([]))
                #expect(try await client.send([]).isEmpty)

                let error = await client.failure(of: RedisCommand("INCR", ["text"]))
                guard case .server(let serverError) = error else {
                    Issue.record("\(String(describing: error))")
                    return
                }
                #expect(serverError.code == "ERR")
            }
        }
    }

    @Test func aTransactionRunsAllOrNothing() async throws {
        try await RedisTestServer.run { server in
            try await server.withClient { client in
                let replies = try await client.transaction([
                    RedisCommand("SET", ["a", "text"]), RedisCommand("INCR", ["a"]), RedisCommand("GET", ["a"]),
                ])
                #expect(replies[0] == .simple("OK"))
                guard case .error = replies[1] else {
                    Issue.record("\(replies[1])")
                    return
                }
                #expect(replies[2].asString == "text")

                let refused = await redisError { () async throws(RedisError) in
                    try await client.transaction([RedisCommand("SET", ["a", "other"]), RedisCommand("NOSUCH")])
                }
                guard case .server = refused else {
                    Issue.record("\(String(describing: refused))")
                    return
                }
                #expect(try await client.send(RedisCommand("GET", ["a"])).asString == "text")
            }
        }
    }

    @Test func scriptsAreLoadedWhereTheServerDoesNotKnowThem() async throws {
        let add = RedisScript("return redis.call('INCRBY', KEYS[1], ARGV[1])")
        let read = RedisScript("return redis.call('GET', KEYS[1])")
        try await RedisTestServer.run { server in
            try await server.withClient { client in
                #expect(try await client.run(add, keys: ["n"], arguments: [2]) == .integer(2))
                #expect(try await client.run(add, keys: ["n"], arguments: [2]) == .integer(4))
                _ = try await client.send(RedisCommand("SCRIPT", ["FLUSH"]))
                #expect(try await client.run(add, keys: ["n"], arguments: [3]) == .integer(7))
                #expect(try await client.send(add.runByDigest(keys: ["n"], arguments: [1])) == .integer(8))

                _ = try await client.send(RedisCommand("SCRIPT", ["FLUSH"]))
                let call = RedisScriptCall(add, keys: ["n"], arguments: [10])
                let replies = try await client.run([call, RedisScriptCall(read, keys: ["n"], arguments: []), call])
                #expect(try replies[0].get() == .integer(18))
                #expect(try replies[2].get() == .integer(28))
                #expect(try replies[1].get().asInteger == 18)
                let known = try await client.send(
                    RedisCommand("SCRIPT", ["EXISTS", .text(add.digest), .text(read.digest)]))
                #expect(known == .array([.integer(1), .integer(1)]))

                let failing = RedisScript("return redis.error_reply('MINE it is')")
                let error = await redisError { () async throws(RedisError) in
                    try await client.run(failing, keys: [], arguments: [])
                }
                #expect(error == .server(RedisServerError(code: "MINE", message: "it is")))
            }
        }
    }

    @Test func largeRepliesArriveWhole() async throws {
        try await RedisTestServer.run { server in
            try await server.withClient { client in
                var random = SeededGenerator(seed: 3)
                let block = (0..<65_536).map { _ in UInt8(truncatingIfNeeded: random.next()) }
                var bytes: [UInt8] = []
                for _ in 0..<320 { bytes.append(contentsOf: block) }
                _ = try await client.send(RedisCommand("SET", ["large", .bytes(bytes)]))
                async let first = client.send(RedisCommand("GET", ["large"]))
                async let second = client.send(RedisCommand("GET", ["large"]))
                async let length = client.send(RedisCommand("STRLEN", ["large"]))
                // Compared outside of the macro, which would look for the differences.
                let areSame = try await [first.asBytes, second.asBytes] == [bytes, bytes]
                #expect(areSame)
                #expect(try await length.asInteger == Int64(bytes.count))
            }
        }
    }

    @Test func aReplyBeyondTheLimitFailsItsCallAndTheClientGoesOn() async throws {
        try await RedisTestServer.run { server in
            try await server.withClient {
                $0.maximumReplyBytes = 10_000
            } body: { client in
                _ = try await client.send(RedisCommand("SET", ["long", .bytes(Array(repeating: 1, count: 20_000))]))
                let error = await client.failure(of: RedisCommand("GET", ["long"]))
                #expect(error == .replyTooLong)
                #expect(try await client.send(RedisCommand("STRLEN", ["long"])) == .integer(20_000))
            }
        }
    }

    @Test func aCancelledCallReturnsAtOnceAndTheOthersKeepTheirReplies() async throws {
        try await RedisTestServer.run { server in
            try await server.withClient { client in
                _ = try await client.send(RedisCommand("PING"))
                let clock = ContinuousClock()
                let start = clock.now
                let blocked = Task { try await client.send(RedisCommand("BLPOP", ["nothing", 1])) }
                let behind = Task { try await client.send(RedisCommand("ECHO", ["behind"])) }
                blocked.cancel()
                await #expect(throws: RedisError.cancelled) { try await blocked.value }
                #expect(clock.now - start < .milliseconds(900))
                #expect(try await behind.value.asString == "behind")
                #expect(try await client.send(RedisCommand("ECHO", ["next"])).asString == "next")

                let early = Task {
                    withUnsafeCurrentTask { $0?.cancel() }
                    _ = try await client.send(RedisCommand("SET", ["early", "1"]))
                }
                await #expect(throws: RedisError.cancelled) { try await early.value }
                #expect(try await client.send(RedisCommand("EXISTS", ["early"])) == .integer(0))
            }
        }
    }

    @Test func aClosedClientFailsAllCalls() async throws {
        try await RedisTestServer.run { server in
            let client = RedisClient(server.configuration)
            _ = try await client.send(RedisCommand("PING"))
            let blocked = Task { try await client.send(RedisCommand("BLPOP", ["nothing", 5])) }
            try await server.withClient { other in
                try await until {
                    try await other.send(RedisCommand("INFO", ["clients"])).asString?
                        .contains("blocked_clients:1") == true
                }
                let watch = client.watch(prefixes: ["a"]) { _ in }
                #expect(await watch.waitUntilDecided() == .active)
                await client.close()
                await #expect(throws: RedisError.closed) { try await blocked.value }
                await #expect(throws: RedisError.closed) { try await client.send(RedisCommand("PING")) }
                #expect(watch.status == .closed)
                #expect(client.watch(prefixes: ["a"]) { _ in }.status == .closed)
                try await until {
                    let list = try await other.send(RedisCommand("CLIENT", ["LIST"])).asString
                    return list?.split(separator: "\n").count == 1
                }
            }
        }
    }

    @Test func aClientThatIsLetGoLeavesNoConnectionBehind() async throws {
        try await RedisTestServer.run { server in
            try await server.withClient { other in
                do {
                    let client = RedisClient(server.configuration)
                    _ = try await client.send(RedisCommand("PING"))
                    let watch = client.watch(prefixes: ["a"]) { _ in }
                    #expect(await watch.waitUntilDecided() == .active)
                    let list = try await other.send(RedisCommand("CLIENT", ["LIST"])).asString
                    #expect(list?.split(separator: "\n").count == 3)
                }
                try await until {
                    let list = try await other.send(RedisCommand("CLIENT", ["LIST"])).asString
                    return list?.split(separator: "\n").count == 1
                }
            }
        }
    }
}

/// Asks again and again until `isTrue`, for ten seconds at most: for what a server does without telling.
func until(_ isTrue: () async throws -> Bool) async throws {
    let deadline = ContinuousClock.now + .seconds(10)
    while try await !isTrue() {
        if ContinuousClock.now > deadline {
            Issue.record("it did not come about within ten seconds")
            return
        }
        try await Task.sleep(for: .milliseconds(2))
    }
}
