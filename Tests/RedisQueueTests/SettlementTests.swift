import Basics
import Delivery
import Foundation
import MessageQueues
import RedisClient
import Synchronization
import Testing

@testable import RedisQueue

extension ServerTests {
    /// What is published once must not be published again, whatever the server refuses.
    @Suite struct SettlementTests {
        @Test func deadLettersOfTheWrongKindDoNotRepeatResults() async throws {
            try await RedisServer.withQueue { _, client, queue in
                try await client.type("SET", "request-sortedset:dead-letter", "a string")
                _ = try await queue.enqueue([message("x"), message("y")])
                for leased in try await queue.take(2) {
                    var result = queue.result(leased, status: 500)
                    result.isDeadLetter = leased.message.id == "x"
                    result.errorMessage = "failed too often"
                    #expect(try await queue.complete(leased.lease, with: result))
                    #expect(try await queue.complete(leased.lease, with: result) == false)
                }
                #expect(try await client.list("result-list").count == 2)
                #expect(try await client.count("request-sortedset:claims-idx") == 0)
            }
        }

        @Test func aUserWithoutTheMarkersOfRequestsPublishesOnce() async throws {
            let troubles = Troubles()
            let user =
                ["--user", "worker", "on", "nopass", "+@all", "~*request-sortedset*", "~result-list"]
                + ["~retry-sortedset", "~request-cancel:*", "&*"]
            try await RedisServer.run(user) { server in
                try await server.withClient { client in
                    let producer = RedisSortedSetQueue(client: client, configuration: .init())
                    _ = try await producer.enqueue([message("x"), message("y")])
                    let worker = try RedisAddress("redis://worker:any@127.0.0.1:\(server.port)")
                    try await server.withClient {
                        $0.address = worker
                    } body: { other in
                        var configuration = RedisSortedSetQueue.Configuration()
                        configuration.reportsError = troubles.note
                        let queue = RedisSortedSetQueue(client: other, configuration: configuration)
                        for leased in try await queue.take(2) { #expect(try await queue.answer(leased)) }
                        await queue.close()
                    }
                    #expect(try await client.list("result-list").count == 2)
                    #expect(try await producer.depth().leased == 0)
                    // It is told, and not with each batch.
                    #expect(troubles.texts.filter { $0.contains("could not be put away") }.count == 1)
                    await producer.close()
                }
            }
        }

        @Test func whatTheRetrySetDoesNotTakeStaysWithItsReason() async throws {
            try await RedisServer.withQueue { _, client, queue in
                _ = try await queue.enqueue([message("x"), message("y")])
                let taken = try await queue.take(2)
                try await client.type("SET", "retry-sortedset", "a string")
                let later = SystemClock().now() + .seconds(50)
                async let answered = queue.answer(taken[1])
                await #expect {
                    try await queue.release(taken[0].lease, attempts: .init(), readyAt: later)
                } throws: {
                    "\($0)".contains("the set retry-sortedset does not take it: WRONGTYPE")
                }
                #expect(try await answered)
                #expect(try await client.list("result-list").count == 1)
                // It can still be ended.
                #expect(try await queue.answer(taken[0]))
                try await client.type("DEL", "retry-sortedset")
            }
        }

        @Test func anEarlierSuccessIsNotRepeatedWhereTheClaimIsStillThere() async throws {
            try await RedisServer.withQueue { _, client, queue in
                _ = try await queue.enqueue([message("x")])
                let leased = try #require(try await queue.take(1).first)
                let claim = try #require(queue.core.table.withLock { $0[leased.lease] })
                // As if a batch had stored its outcome and not got any further.
                try await client.type("SET", "an-earlier-batch", "01")
                queue.core.table.withLock {
                    $0.remember(CommitPlace(key: "an-earlier-batch", place: 2), for: leased.lease)
                }
                #expect(try await queue.answer(leased))
                #expect(try await client.list("result-list").isEmpty)
                #expect(try await client.type("HEXISTS", "request-sortedset:claimed", claim.key).asInteger == 0)
            }
        }

        @Test func anErrorOfTheSettlingScriptMayHaveRun() {
            #expect(RedisError.server(.init(code: "WRONGTYPE", message: "")).mayHaveStoppedAScript)
            #expect(RedisError.server(.init(code: "NOPERM", message: "")).mayHaveStoppedAScript)
            #expect(!RedisError.server(.init(code: "LOADING", message: "")).mayHaveStoppedAScript)
            #expect(!RedisError.notConnected(reason: "").mayHaveStoppedAScript)
        }

        @Test func aBurialThatFailsIsForgottenAndHoldsUpNothing() async throws {
            let troubles = Troubles()
            try await RedisServer.withQueue {
                $0.reportsError = troubles.note
            } body: { _, client, queue in
                try await client.type("SET", "request-sortedset:dead-letter", "a string")
                try await client.type("ZADD", "request-sortedset", "1", "not json")
                _ = try await queue.enqueue([message("x")])
                let taken = try await queue.take(10)
                #expect(taken.map(\.message.id) == ["x"])
                #expect(queue.core.table.withLock { $0.held } == taken.map(\.lease))
                #expect(troubles.texts.contains { $0.contains("request-sortedset:dead-letter does not take") })
                // Nothing is lost: it waits under its lease.
                #expect(try await client.type("HLEN", "request-sortedset:claimed").asInteger == 2)
            }
        }

        @Test func whatCannotBeReadIsAnsweredInTheNameOfTheQueue() async throws {
            try await RedisServer.withQueue {
                $0.name = "nightly"
            } body: { _, client, queue in
                try await client.type(
                    "ZADD", "request-sortedset", "1", #"{"request_kind":"plain","data":{"id":"b","deadline":1}}"#)
                #expect(try await queue.take(1).isEmpty)
                let line = try object(try #require(try await client.list("result-list").first))
                #expect(line["queue"] as? String == "nightly")
            }
        }

        @Test func stoppingGivesBackTheStockAtOnceAndKeepsNoneLater() async throws {
            try await RedisServer.withQueue { _, client, queue in
                _ = try await queue.enqueue((0..<20).map { message("a\($0)", body: obscureBody("a")) })
                #expect(try await queue.take(5, excluding: ["a"]).isEmpty)
                #expect(try await client.count("request-sortedset") == 0)
                queue.stopLeasing()
                try await eventually("the stock") {
                    try await client.count("request-sortedset") == 20 ? true : nil
                }
                #expect(try await queue.take(5).isEmpty)
                await queue.close()
                #expect(try await client.count("request-sortedset:claims-idx") == 0)
            }
        }

        @Test func aWishToCancelMeansOneUseOfAnID() async throws {
            try await RedisServer.withQueue { _, client, queue in
                for token in ["one", "two"] {
                    try await client.type(
                        "ZADD", "request-sortedset", "\(unixNow() + 600)",
                        #"{"internal":{"request_token":"\#(token)"},"request_kind":"plain","data":{"id":"x","deadline":\#(unixNow() + 600),"payload":{}}}"#
                    )
                }
                try await client.type("SET", "request-cancel:x", "two")
                #expect(try await queue.take(10).map(\.generation) == ["one"])
                let line = try object(try #require(try await client.list("result-list").first))
                #expect(line["request_token"] as? String == "two")
                #expect(line["error_code"] as? String == "CANCELLED")
            }
        }
    }
}

extension RedisClient {
    /// As `type`, with a word that is no text.
    func type(_ command: String, _ key: String, _ field: [UInt8]) async throws -> RESPValue {
        try await send(RedisCommand(command, [.text(key), .bytes(field)]))
    }
}
