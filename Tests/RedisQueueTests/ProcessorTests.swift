import AsyncProcessor
import Basics
import Delivery
import Foundation
import MessageQueues
import RedisClient
import RedisQueue
import Synchronization
import Testing

extension ServerTests {
    /// The processor that ships, on this queue.
    @Suite struct ProcessorTests {
        /// Answers at once, except that each message fails the first time where that is asked for.
        private final class Answerer: InferenceDispatcher {
            let failsFirst: Bool
            private let seen = Mutex<Set<String>>([])

            init(failsFirst: Bool = false) { self.failsFirst = failsFirst }

            func perform(_ request: AsyncRequest, started: @escaping @Sendable () -> Void) async -> AttemptOutcome {
                started()
                let isFirst = seen.withLock { $0.insert(request.id).inserted }
                return .answered(
                    AttemptResponse(
                        statusCode: failsFirst && isFirst ? 500 : 200, body: Array(#"{"ok":true}"#.utf8),
                        contentType: "application/json"))
            }
        }

        /// Takes requests and never ends them.
        private struct Holder: InferenceDispatcher {
            let held: Counter

            func perform(_ request: AsyncRequest, started: @escaping @Sendable () -> Void) async -> AttemptOutcome {
                started()
                held.add()
                try? await Task.sleep(for: .seconds(1000))
                return .withdrawn
            }
        }

        private static func processor(
            _ queue: RedisSortedSetQueue, _ dispatcher: any InferenceDispatcher
        ) -> AsyncProcessor {
            var consumer = ConsumerConfiguration()
            consumer.leaseDuration = .seconds(2)
            return AsyncProcessor(queue: queue, dispatcher: dispatcher, configuration: .init(consumer: consumer))
        }

        private static func resultIDs(_ client: RedisClient) async throws -> [String] {
            try await client.list("result-list").compactMap { try object($0)["id"] as? String }
        }

        @Test func everyMessageHasOneResult() async throws {
            try await RedisServer.withQueue { _, client, queue in
                let processor = Self.processor(queue, Answerer())
                let running = Task { await processor.run() }
                let count = 3000
                for start in stride(from: 0, to: count, by: 500) {
                    _ = try await queue.enqueue((start..<start + 500).map { message("m\($0)") })
                }
                try await eventually("all results", within: .seconds(60)) {
                    try await client.type("LLEN", "result-list").asInteger == Int64(count) ? true : nil
                }
                processor.stop()
                await running.value
                #expect(Set(try await Self.resultIDs(client)).count == count)
                #expect(try await queue.depth().unfinished == 0)
            }
        }

        @Test func aFailureIsTriedAgain() async throws {
            try await RedisServer.withQueue { _, client, queue in
                let processor = Self.processor(queue, Answerer(failsFirst: true))
                let running = Task { await processor.run() }
                _ = try await queue.enqueue([message("x")])
                let line = try await eventually("the result", within: .seconds(30)) {
                    try await client.list("result-list").first
                }
                processor.stop()
                await running.value
                let result = try object(line)
                #expect(result["status_code"] as? Int == 200)
                #expect(result["attempts"] as? Int == 2)
                #expect(result["failures"] as? Int == 1)
            }
        }

        @Test func aReplicaTakesOverFromOneThatDies() async throws {
            try await RedisServer.withQueue { server, client, queue in
                let count = 200
                _ = try await queue.enqueue((0..<count).map { message("m\($0)") })
                let held = Counter()
                try await server.withClient { other in
                    let dying = RedisSortedSetQueue(client: other, configuration: .init())
                    let processor = Self.processor(dying, Holder(held: held))
                    let running = Task { await processor.run() }
                    try await eventually("some in hand") { held.count >= 20 ? true : nil }
                    // Nothing reaches the server any more, as if the process were gone.
                    await other.close()
                    running.cancel()
                }
                let processor = Self.processor(queue, Answerer())
                let running = Task { await processor.run() }
                try await eventually("all results", within: .seconds(30)) {
                    try await client.type("LLEN", "result-list").asInteger == Int64(count) ? true : nil
                }
                processor.stop()
                await running.value
                #expect(Set(try await Self.resultIDs(client)).count == count)
            }
        }
    }
}
