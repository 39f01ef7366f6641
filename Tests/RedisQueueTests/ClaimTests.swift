import Basics
import Delivery
import Foundation
import MessageQueues
import RedisClient
import RedisQueue
import Testing

extension ServerTests {
    @Suite struct ClaimTests {
        @Test func replicasNeverTakeOneMessageTwice() async throws {
            try await RedisServer.withQueue { server, client, first in
                _ = try await first.enqueue((0..<2000).map { message("m\($0)") })
                try await server.withClient { other in
                    let second = RedisSortedSetQueue(client: other, configuration: .init())
                    let ids = try await withThrowingTaskGroup(of: [String].self) { group in
                        for queue in [first, second, first, second] {
                            group.addTask {
                                var ids: [String] = []
                                while true {
                                    let messages = try await queue.take(37)
                                    if messages.isEmpty { return ids }
                                    ids += messages.map(\.message.id)
                                    for leased in messages { try await queue.answer(leased) }
                                }
                            }
                        }
                        return try await group.reduce(into: []) { $0 += $1 }
                    }
                    #expect(ids.count == 2000)
                    #expect(Set(ids).count == 2000)
                    await second.close()
                }
                #expect(try await client.list("result-list").count == 2000)
                #expect(try await client.count("request-sortedset:claims-idx") == 0)
            }
        }

        @Test func theEarliestDeadlineGoesFirstAndThenTheFirstSubmitted() async throws {
            try await RedisServer.withQueue { _, _, queue in
                let deadline = Instant(seconds: Double(unixNow() + 500))
                var messages = (0..<50).map { message("same\($0)") }
                for index in messages.indices { messages[index].deadline = deadline }
                var late = message("late")
                late.deadline = deadline + .seconds(10)
                var early = message("early")
                early.deadline = deadline - .seconds(10)
                _ = try await queue.enqueue([late] + messages + [early])
                let taken = try await queue.take(200).map(\.message.id)
                #expect(taken == ["early"] + (0..<50).map { "same\($0)" } + ["late"])
            }
        }

        @Test func aPayloadOfManyMegabytesTravelsByteForByte() async throws {
            try await RedisServer.withQueue { _, client, queue in
                let text = String(repeating: #"\u00e9 \\ \" ü "#, count: 400_000)
                let body = #"{"model":"m","a":"\#(text)"}"#
                _ = try await queue.enqueue([message("big", body: body), message("small")])
                let leased = try await queue.take(2)
                #expect(Set(leased.map(\.message.id)) == ["big", "small"])
                let big = try #require(leased.first { $0.message.id == "big" })
                #expect(big.message.payload == Array(body.utf8))
                var attempts = big.attempts
                attempts.failures = 1
                #expect(try await queue.release(big.lease, attempts: attempts, readyAt: SystemClock().now()))
                let again = try #require(try await queue.receive().first)
                #expect(again.message.payload == Array(body.utf8))
                #expect(again.attempts.failures == 1)
                #expect(try await queue.answer(again, body))
                let result = try object(try #require(try await client.list("result-list").first))
                #expect(result["payload"] as? String == body)
            }
        }

        @Test func aMessageThatIsTooLongIsKeptAmongTheDeadLetters() async throws {
            try await RedisServer.withQueue {
                $0.maximumMemberBytes = 2000
            } body: { _, client, queue in
                let body = #"{"a":"\#(String(repeating: "x", count: 3000))"}"#
                _ = try await queue.enqueue([message("long", body: body), message("short")])
                #expect(try await queue.receive().map(\.message.id) == ["short"])
                let letter = try object(try #require(try await client.list("request-sortedset:dead-letter").first))
                let data = (letter["member"] as? [String: Any])?["data"] as? [String: Any]
                #expect(data?["id"] as? String == "long")
                #expect(letter["reason"] as? String == "the message is longer than 2000 bytes")
            }
        }

        @Test func messagesOfExcludedTargetsAreHeldBackAndHandedOutLater() async throws {
            try await RedisServer.withQueue { _, client, queue in
                var messages: [InferenceMessage] = []
                for index in 0..<40 {
                    let model = index % 4 == 3 ? "b" : "a"
                    messages.append(
                        message("\(model)\(index)", window: Double(1000 + index), body: #"{"model":"\#(model)"}"#))
                }
                _ = try await queue.enqueue(messages)
                let taken = try await queue.take(10, excluding: ["a"])
                #expect(taken.map(\.message.id) == stride(from: 3, to: 40, by: 4).map { "b\($0)" })
                #expect(try await queue.take(10, excluding: ["a"]).isEmpty)
                // They have stayed where others can take them.
                #expect(try await client.count("request-sortedset") == 30)
                let rest = try await queue.take(100)
                #expect(rest.map(\.message.id) == (0..<40).filter { $0 % 4 != 3 }.map { "a\($0)" })
                for leased in taken + rest { #expect(try await queue.answer(leased)) }
                #expect(try await client.list("result-list").count == 40)
            }
        }

        @Test func aMessageBehindThousandsOfAnotherTargetIsFoundWithoutMovingThem() async throws {
            try await RedisServer.withQueue { _, client, queue in
                let blocked = (0..<5000).map { message("a\($0)", window: Double(1000 + $0), body: #"{"model":"a"}"#) }
                _ = try await queue.enqueue(blocked + [message("b", window: 9000, body: #"{"model":"b"}"#)])
                let found = try await eventually("the message behind the others") {
                    try await queue.waitUntilReady(excluding: ["a"])
                    return try await queue.take(64, excluding: ["a"]).first
                }
                #expect(found.message.id == "b")
                #expect(try await client.count("request-sortedset") == 5000)
                #expect(try await client.count("request-sortedset:claims-idx") == 1)
                // Nothing is left to find, and a wait does not ask all the time.
                func scripts() async throws -> Int {
                    let text = try await client.type("INFO", "commandstats").asString ?? ""
                    let line = text.split(separator: "\r\n").first { $0.hasPrefix("cmdstat_evalsha:calls=") }
                    return Int(line?.dropFirst("cmdstat_evalsha:calls=".count).prefix { $0.isNumber } ?? "") ?? 0
                }
                let before = try await scripts()
                let end = ContinuousClock.now + .seconds(1)
                while ContinuousClock.now < end {
                    try await queue.waitUntilReady(excluding: ["a"])
                    #expect(try await queue.take(64, excluding: ["a"]).isEmpty)
                }
                #expect(try await scripts() - before < 60)
                #expect(try await queue.take(1).map(\.message.id) == ["a0"])
            }
        }

        @Test func whatFindsNoRoomInStockWaitsAndOthersAreFoundBehindIt() async throws {
            try await RedisServer.withQueue {
                $0.maximumStock = 10
            } body: { _, client, queue in
                let blocked = (0..<600).map { message("a\($0)", window: Double(1000 + $0), body: obscureBody("a")) }
                _ = try await queue.enqueue(blocked + [message("b", window: 2000, body: #"{"model":"b"}"#)])
                let found = try await eventually("the message behind the others", within: .seconds(30)) {
                    try await queue.waitUntilReady(excluding: ["a"])
                    return try await queue.take(64, excluding: ["a"]).first
                }
                #expect(found.message.id == "b")
                var ids: Set<String> = []
                while ids.count < 600 { ids.formUnion(try await queue.receive(1000).map(\.message.id)) }
                #expect(ids == Set(blocked.map(\.id)))
                #expect(try await client.count("request-sortedset:claims-idx") == 601)
            }
        }

        @Test func closingGivesBackWhatWasNotHandedOut() async throws {
            try await RedisServer.withQueue { _, client, queue in
                _ = try await queue.enqueue((0..<20).map { message("a\($0)", body: obscureBody("a")) })
                #expect(try await queue.take(5, excluding: ["a"]).isEmpty)
                #expect(try await client.count("request-sortedset") == 0)
                await queue.close()
                #expect(try await client.count("request-sortedset") == 20)
                #expect(try await client.count("request-sortedset:claims-idx") == 0)
            }
        }

        @Test func overdueMessagesAreFoundWhateverTheirTarget() async throws {
            try await RedisServer.withQueue { _, _, queue in
                let now = SystemClock().now()
                var late = message("late", body: #"{"model":"a"}"#)
                late.deadline = now - .seconds(5)
                var held = message("held", body: obscureBody("a"))
                held.deadline = now + .seconds(1)
                _ = try await queue.enqueue([late, held, message("fine")])
                let overdue = try await queue.leaseOverdue(before: now, limit: 10, duration: .seconds(15))
                #expect(overdue.map(\.message.id) == ["late"])
                #expect(try await queue.take(10, excluding: ["a"]).map(\.message.id) == ["fine"])
                // In stock by now.
                let later = try await queue.leaseOverdue(before: now + .seconds(10), limit: 10, duration: .seconds(15))
                #expect(later.map(\.message.id) == ["held"])
            }
        }

        @Test func whoHasLostALeaseChangesNothing() async throws {
            try await RedisServer.withQueue { server, client, first in
                try await server.withClient { other in
                    let second = RedisSortedSetQueue(client: other, configuration: .init())
                    _ = try await first.enqueue([message("x"), message("y")])
                    let held = try await first.take(2, lease: 0.05)
                    #expect(held.count == 2)
                    var taken: [LeasedMessage] = []
                    while taken.count < 2 { taken += try await second.receive(2 - taken.count) }
                    let lost = held[0].lease
                    #expect(try await first.extend(held.map(\.lease), duration: .seconds(15)) == held.map(\.lease))
                    #expect(try await first.answer(held[0]) == false)
                    #expect(try await first.release(lost, attempts: .init(), readyAt: SystemClock().now()) == false)
                    #expect(try await client.list("result-list").isEmpty)
                    for leased in taken { #expect(try await second.answer(leased)) }
                    #expect(try await client.list("result-list").count == 2)
                    await second.close()
                }
            }
        }

        @Test func anExtendedLeaseLasts() async throws {
            try await RedisServer.withQueue { server, client, first in
                _ = try await first.enqueue([message("x")])
                let leased = try #require(try await first.take(1, lease: 2).first)
                for _ in 0..<10 {
                    #expect(try await first.extend([leased.lease], duration: .seconds(2)).isEmpty)
                    try await Task.sleep(for: .milliseconds(300))
                }
                #expect(try await client.count("request-sortedset") == 0)
                #expect(try await first.answer(leased))
            }
        }

        @Test func aLeaseInStockIsKept() async throws {
            try await RedisServer.withQueue { _, client, queue in
                _ = try await queue.enqueue([message("x", body: obscureBody("a"))])
                #expect(try await queue.take(1, lease: 1, excluding: ["a"]).isEmpty)
                let owners = try await client.type("HVALS", "request-sortedset:claim-owners")
                #expect(owners.asArray?.count == 1)
                try await Task.sleep(for: .milliseconds(2500))
                #expect(try await client.type("HVALS", "request-sortedset:claim-owners") == owners)
                let leased = try #require(try await queue.take(1).first)
                #expect(try await queue.answer(leased))
            }
        }

        @Test func aResultListOfTheWrongKindHoldsUpNothing() async throws {
            try await RedisServer.withQueue { _, client, queue in
                let deadline = "\(unixNow() + 600)"
                try await client.type("SET", "wrong", "a string")
                for (id, list) in [("bad", "wrong"), ("good", "right")] {
                    try await client.type(
                        "ZADD", "request-sortedset", deadline,
                        #"{"internal":{"result_queue_name":"\#(list)"},"request_kind":"plain","data":{"id":"\#(id)","deadline":\#(deadline),"payload":{}}}"#
                    )
                }
                let messages = try await queue.take(2)
                let bad = try #require(messages.first { $0.message.id == "bad" })
                let good = try #require(messages.first { $0.message.id == "good" })
                let kept = Task { try await queue.answer(bad, #"{"n":1}"#) }
                #expect(try await queue.answer(good))
                #expect(try await kept.value)
                #expect(try await client.type("GET", "wrong").asString == "a string")
                #expect(try await client.list("right").count == 1)
                // The answer is not lost.
                let letter = try object(try #require(try await client.list("request-sortedset:dead-letter").first))
                #expect((letter["reason"] as? String)?.contains("the list wrong does not take the result") == true)
                let result = letter["result"] as? [String: Any]
                #expect(result?["id"] as? String == "bad")
                #expect(result?["payload"] as? String == #"{"n":1}"#)
                #expect(try await queue.depth().leased == 0)
            }
        }

        @Test func whatIsGivenUpIsKeptWithItsPayload() async throws {
            try await RedisServer.withQueue { _, client, queue in
                _ = try await queue.enqueue([message("x", body: #"{"model":"m", "n":1}"#)])
                let leased = try #require(try await queue.take(1).first)
                var result = queue.result(leased, status: 500)
                result.isDeadLetter = true
                result.errorMessage = "failed too often"
                #expect(try await queue.complete(leased.lease, with: result))
                let letter = try #require(try await client.list("request-sortedset:dead-letter").first)
                #expect(letter.contains(#""payload":{"model":"m", "n":1}"#))
                #expect(try object(letter)["reason"] as? String == "failed too often")
                let depth = try await queue.depth()
                #expect(depth.deadLetters == 1 && depth.results == 1 && depth.unfinished == 0)
            }
        }

        @Test func countsWhatIsThere() async throws {
            try await RedisServer.withQueue { _, _, queue in
                var first = message("a", window: 100)
                first.deadline = Instant(seconds: Double(unixNow() + 100))
                _ = try await queue.enqueue([first] + (0..<4).map { message("m\($0)") })
                #expect(try await queue.depth().earliestDeadline == first.deadline)
                let taken = try await queue.take(3)
                #expect(try await queue.answer(taken[0]))
                #expect(
                    try await queue.release(
                        taken[1].lease, attempts: .init(), readyAt: SystemClock().now() + .seconds(60)))
                let depth = try await queue.depth()
                #expect(depth.ready == 2 && depth.leased == 1 && depth.delayed == 1 && depth.results == 1)
            }
        }
    }
}
