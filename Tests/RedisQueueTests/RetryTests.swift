import Basics
import Delivery
import Foundation
import MessageQueues
import RedisClient
import RedisQueue
import Testing

extension ServerTests {
    @Suite struct RetryTests {
        @Test func aMessageGivenBackAtOnceIsThereAtOnceAndFirst() async throws {
            try await RedisServer.withQueue { _, client, queue in
                _ = try await queue.enqueue([message("a", window: 100), message("b", window: 200)])
                let leased = try #require(try await queue.take(1).first)
                let before = try await client.type("HGET", "request-sortedset:claimed", "a\0" + leased.generation)
                    .asString
                #expect(try await queue.release(leased.lease, attempts: leased.attempts, readyAt: SystemClock().now()))
                // Byte for byte as it was.
                #expect(try await client.members("request-sortedset").first == before)
                #expect(try await queue.take(2).map(\.message.id) == ["a", "b"])
            }
        }

        @Test func aMessageWaitsForItsTimeAndThenKeepsItsPlace() async throws {
            try await RedisServer.withQueue { _, client, queue in
                _ = try await queue.enqueue([message("a", window: 100), message("b", window: 200)])
                let leased = try #require(try await queue.take(1).first)
                let score = try await client.type("HGET", "request-sortedset:claim-owners", "a\0" + leased.generation)
                    .asString?.split(separator: ":").last.flatMap { Double($0) }
                var attempts = leased.attempts
                attempts.dispatches = 3
                attempts.failures = 1
                attempts.sheds = 1
                attempts.evictions = 1
                attempts.firstDispatched = Instant(nanoseconds: 1_790_000_000_123_000_000)
                attempts.lastStatusCode = 503
                attempts.lastEndpoint = "http://a"
                attempts.lastError = "HTTP 503"
                let released = ContinuousClock.now
                let readyAt = SystemClock().now() + .milliseconds(400)
                #expect(try await queue.release(leased.lease, attempts: attempts, readyAt: readyAt))
                let due = try #require(
                    try await client.type("ZRANGE", "retry-sortedset", "0", "0", "WITHSCORES").asArray?.first?.asArray?
                        .last?
                        .asDouble)
                // By the server's clock, and as late as the call was.
                #expect(abs(due - readyAt.seconds) < 2)
                let waiting = try await client.members("retry-sortedset")
                #expect(try object(waiting[0])["request_kind"] as? String == "plain")
                #expect(
                    (try object(waiting[0])["internal"] as? [String: Any])?["request_queue_name"] as? String
                        == "request-sortedset")
                let again = try await eventually("the retry") {
                    try await client.type("ZCARD", "request-sortedset").asInteger == 2 ? true : nil
                }
                #expect(again)
                let pause = ContinuousClock.now - released
                #expect(pause >= .milliseconds(390) && pause < .seconds(3))
                let back = try await queue.take(2)
                #expect(back.map(\.message.id) == ["a", "b"])
                #expect(back[0].attempts == attempts)
                #expect(back[0].generation == leased.generation)
                let owner = try await client.type("HGET", "request-sortedset:claim-owners", "a\0" + leased.generation)
                #expect(owner.asString?.split(separator: ":").last.flatMap { Double($0) } == score)
            }
        }

        @Test func retriesComeBackInTheOrderOfTheirTime() async throws {
            try await RedisServer.withQueue { _, _, queue in
                _ = try await queue.enqueue((0..<3).map { message("m\($0)", window: Double(100 + $0)) })
                let taken = try await queue.take(3)
                let now = SystemClock().now()
                for (index, leased) in taken.enumerated() {
                    let readyAt = now + .milliseconds(Double(200 + 1000 * (2 - index)))
                    #expect(try await queue.release(leased.lease, attempts: leased.attempts, readyAt: readyAt))
                }
                var ids: [String] = []
                while ids.count < 3 { ids += try await queue.receive().map(\.message.id) }
                #expect(ids == ["m2", "m1", "m0"])
            }
        }

        @Test func movesOnlyRetriesOfItsOwnQueue() async throws {
            try await RedisServer.withQueue {
                $0.queueName = "mine"
            } body: { _, client, queue in
                let deadline = unixNow() + 600
                func member(_ id: String, _ queue: String) -> String {
                    #"{"internal":{"request_queue_name":"\#(queue)","retry_count":1},"request_kind":"plain","data":{"id":"\#(id)","created":1,"deadline":\#(deadline),"payload":{}}}"#
                }
                // Those of a queue that nobody serves here are in front.
                for n in 0..<1500 {
                    try await client.type("ZADD", "retry-sortedset", "\(n)", member("other\(n)", "other"))
                }
                try await client.type("ZADD", "retry-sortedset", "2000", member("mine", "mine"))
                let leased = try #require(try await queue.receive().first)
                #expect(leased.message.id == "mine")
                #expect(leased.message.deadline == Instant(seconds: Double(deadline)))
                #expect(try await client.count("retry-sortedset") == 1500)
                #expect(try await client.type("EXISTS", "other").asInteger == 0)
            }
        }

        @Test func theDefaultQueueTakesRetriesThatNameNone() async throws {
            try await RedisServer.withQueue {
                $0.isDefaultQueue = true
            } body: { _, client, queue in
                // Not in the usual order, so that the script has to decode it.
                try await client.type(
                    "ZADD", "retry-sortedset", "1",
                    #"{"data":{"payload":{"a":1},"deadline":\#(unixNow() + 60),"id":"x"},"request_kind":"plain"}"#)
                #expect(try await queue.receive().first?.message.id == "x")
            }
        }

        @Test func manyReleasesAndResultsTakeFewCommands() async throws {
            try await RedisServer.withQueue { _, client, queue in
                _ = try await queue.enqueue((0..<1000).map { message("m\($0)") })
                func commands() async throws -> Int {
                    let text = try await client.type("INFO", "stats").asString ?? ""
                    let line = text.split(separator: "\r\n").first { $0.hasPrefix("total_commands_processed:") }
                    return Int(line?.split(separator: ":").last ?? "") ?? 0
                }
                let before = try await commands()
                var taken: [LeasedMessage] = []
                while taken.count < 1000 { taken += try await queue.take(250) }
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for (index, leased) in taken.enumerated() {
                        group.addTask {
                            let readyAt = SystemClock().now() + .seconds(100)
                            let isDone =
                                index % 2 == 0
                                ? try await queue.answer(leased)
                                : try await queue.release(leased.lease, attempts: leased.attempts, readyAt: readyAt)
                            #expect(isDone)
                        }
                    }
                    try await group.waitForAll()
                }
                let calls = try await client.type("INFO", "commandstats").asString ?? ""
                let scripts = calls.split(separator: "\r\n").filter { $0.hasPrefix("cmdstat_eval") }
                    .compactMap {
                        $0.split(separator: ":").last?.split(separator: ",").first?.dropFirst("calls=".count)
                    }
                    .compactMap { Int($0) }.reduce(0, +)
                #expect(try await commands() > before)
                #expect(scripts < 200)
                #expect(try await client.list("result-list").count == 500)
                #expect(try await client.count("retry-sortedset") == 500)
            }
        }
    }
}
