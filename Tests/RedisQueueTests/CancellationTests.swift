import Basics
import Delivery
import Foundation
import MessageQueues
import RedisClient
import RedisQueue
import Testing

extension ServerTests {
    @Suite struct CancellationTests {
        @Test func aMessageThatIsCancelledWhileItWaitsEndsAsCancelled() async throws {
            try await RedisServer.withQueue { _, client, queue in
                _ = try await queue.enqueue([message("x", metadata: ["a": "b"]), message("y")])
                #expect(try await queue.cancel(id: "x"))
                #expect(try await queue.cancel(id: "nobody") == false)
                #expect(try await queue.take(10).map(\.message.id) == ["y"])
                let result = try object(try #require(try await client.list("result-list").first))
                #expect(result["id"] as? String == "x")
                #expect(result["error_code"] as? String == "CANCELLED")
                #expect(result["metadata"] as? [String: String] == ["a": "b"])
                for key in ["request-active:x", "request-cancel:x"] {
                    #expect(try await client.type("EXISTS", key).asInteger == 0)
                }
            }
        }

        @Test func anOldWishToCancelDoesNotHitALaterUseOfTheID() async throws {
            try await RedisServer.withQueue { _, client, queue in
                _ = try await queue.enqueue([message("x")])
                let leased = try #require(try await queue.take(1).first)
                try await client.type("SET", "request-cancel:x", "another token")
                #expect(try await queue.release(leased.lease, attempts: leased.attempts, readyAt: SystemClock().now()))
                let again = try #require(try await queue.receive().first)
                #expect(try await queue.answer(again))
                // The key of the other use stays.
                #expect(try await client.type("GET", "request-cancel:x").asString == "another token")
            }
        }

        @Test func aMessageInHandIsReportedOnceAndAtOnce() async throws {
            try await RedisServer.withQueue { _, client, queue in
                _ = try await queue.enqueue([message("x"), message("y")])
                let taken = try await queue.take(2)
                let x = try #require(taken.first { $0.message.id == "x" })
                let reports = Task { () -> [[Lease]] in
                    var reports: [[Lease]] = []
                    while !Task.isCancelled {
                        let leases = try await queue.nextCancellations()
                        if !leases.isEmpty { reports.append(leases) }
                        if reports.count == 1 { break }
                    }
                    return reports
                }
                // As a producer does it.
                try await client.type("SET", "request-cancel:x", x.generation, "EX", "604800")
                #expect(try await reports.value == [[x.lease]])
                var result = queue.result(x)
                result.errorCode = .cancelled
                #expect(try await queue.complete(x.lease, with: result))
                #expect(try await client.type("EXISTS", "request-cancel:x").asInteger == 0)
            }
        }

        @Test func aWaitForCancellationsEndsWithItsTask() async throws {
            try await RedisServer.withQueue { _, _, queue in
                let waiting = Task { try await queue.nextCancellations() }
                waiting.cancel()
                let leases = try await waiting.value
                #expect(leases.isEmpty)
            }
        }

        @Test func aMessageInStockEndsByItself() async throws {
            try await RedisServer.withQueue { _, client, queue in
                _ = try await queue.enqueue([message("x", body: obscureBody("a"))])
                #expect(try await queue.take(1, excluding: ["a"]).isEmpty)
                let reports = Task { try await queue.nextCancellations() }
                #expect(try await queue.cancel(id: "x"))
                let line = try await eventually("the result") { try await client.list("result-list").first }
                #expect(try object(line)["error_code"] as? String == "CANCELLED")
                reports.cancel()
                #expect(try await reports.value.isEmpty)
                #expect(try await queue.take(1).isEmpty)
            }
        }

        @Test func anIDCanBeUsedAgainOnceItHasItsResult() async throws {
            try await RedisServer.withQueue { _, client, queue in
                #expect(try await queue.enqueue([message("x")]) == [.accepted])
                #expect(try await queue.enqueue([message("x"), message("y")]) == [.alreadyQueued, .accepted])
                let taken = try await queue.take(10)
                #expect(taken.map(\.message.id).sorted() == ["x", "y"])
                #expect(try await queue.enqueue([message("x")]) == [.alreadyQueued])
                for leased in taken { #expect(try await queue.answer(leased)) }
                #expect(try await queue.enqueue([message("x")]) == [.accepted])
                #expect(try await client.count("request-sortedset") == 1)
            }
        }

        @Test func refusesAPayloadThatIsTooLarge() async throws {
            try await RedisServer.withQueue {
                $0.maximumPayloadBytes = 10
            } body: { _, client, queue in
                await #expect(throws: MessageQueueError.messageTooLarge(id: "x", bytes: 17, limit: 10)) {
                    try await queue.enqueue([message("x")])
                }
                let waiting = try await client.count("request-sortedset")
                #expect(waiting == 0)
            }
        }
    }
}
