import Basics
import Delivery
import Foundation
import MessageQueues
import RedisClient
import RedisQueue
import Synchronization
import Testing

extension ServerTests {
    @Suite struct ChannelTests {
        @Test func aPublishedMessageIsTakenAtOnceAndItsResultPublished() async throws {
            try await withChannel { _, client, queue in
                let results = await listen(client)
                let waiting = Task { try await queue.waitUntilReady(excluding: []) }
                try await client.type("PUBLISH", "request-queue", envelope("a", model: "m"))
                try await waiting.value
                let leased = try #require(try await queue.lease(limit: 5, duration: .seconds(5), excluding: []).first)
                #expect(leased.message.id == "a")
                #expect(leased.message.model == "m")
                #expect(leased.message.path == "/v1/completions")
                #expect(leased.generation == "token-a")
                var depth = try await queue.depth()
                #expect(depth.leased == 1 && depth.ready == 0)

                #expect(try await queue.complete(leased.lease, with: result(leased)))
                let line = try object(await results.next() ?? "")
                #expect(line["id"] as? String == "a")
                #expect(line["status_code"] as? Int == 200)
                #expect(line["request_token"] as? String == "token-a")
                #expect(try await !queue.complete(leased.lease, with: result(leased)))
                depth = try await queue.depth()
                #expect(depth.unfinished == 0)
                #expect(queue.statistics.received == 1)
            }
        }

        @Test func messagesBeyondTheLimitAreRefusedAndCounted() async throws {
            try await withChannel {
                $0.maximumMessages = 10
                $0.maximumMessageBytes = 1_000
            } body: { _, client, queue in
                try await client.type(
                    "PUBLISH", "request-queue", envelope("long", model: String(repeating: "x", count: 1_000)))
                for number in 0..<25 { try await client.type("PUBLISH", "request-queue", envelope("\(number)")) }
                try await eventually("all to arrive") { queue.statistics.received == 26 ? true : nil }
                #expect(queue.statistics.refused == 16)
                let leased = try await queue.lease(limit: 100, duration: .seconds(5), excluding: [])
                #expect(leased.map(\.message.id) == (0..<10).map(String.init))

                #expect(try await queue.complete(leased[0].lease, with: result(leased[0])))
                #expect(queue.statistics.unheardResults == 1)
                try await client.type("PUBLISH", "request-queue", envelope("late"))
                try await eventually("room") { queue.statistics.received == 27 ? true : nil }
                #expect(queue.statistics.refused == 16)
            }
        }

        @Test func whatCannotBeReadIsAnsweredWhereThereIsAnID() async throws {
            try await withChannel { _, client, queue in
                let results = await listen(client)
                try await client.type("PUBLISH", "request-queue", "not json")
                try await client.type(
                    "PUBLISH", "request-queue", #"{"request_kind":"plain","data":{"id":"b","deadline":1}}"#)
                let line = try object(await results.next() ?? "")
                #expect(line["id"] as? String == "b")
                #expect(line["error_code"] as? String == "INVALID_REQUEST")
                #expect(queue.statistics.unreadable == 2)
            }
        }

        @Test func aRetryWaitsInTheRetrySetAndComesBackWithItsRecord() async throws {
            try await withChannel { _, client, queue in
                try await client.type("PUBLISH", "request-queue", envelope("a", queue: "somewhere-else"))
                let leased = try await receive(queue)
                var attempts = leased.attempts
                attempts.dispatches = 2
                attempts.failures = 2
                attempts.lastError = "HTTP 503"
                let released = ContinuousClock.now
                let readyAt = SystemClock().now() + .milliseconds(300)
                #expect(try await queue.release(leased.lease, attempts: attempts, readyAt: readyAt))
                #expect(try await !queue.release(leased.lease, attempts: attempts, readyAt: readyAt))
                let waiting = try object(try #require(try await client.members("retry-sortedset").first))
                let routing = waiting["internal"] as? [String: Any]
                #expect(routing?["request_queue_name"] as? String == "request-queue")
                #expect(routing?["retry_count"] as? Int == 2)

                let again = try await receive(queue)
                let pause = ContinuousClock.now - released
                #expect(pause >= .milliseconds(290) && pause < .seconds(3))
                #expect(again.attempts == attempts)
                #expect(again.generation == "token-a")
                #expect(again.message.payload == leased.message.payload)
                #expect(try await client.count("retry-sortedset") == 0)
            }
        }

        @Test func whatIsGivenBackAtOnceStaysInMemory() async throws {
            try await withChannel { _, client, queue in
                try await client.type("PUBLISH", "request-queue", envelope("a"))
                let leased = try await receive(queue)
                var attempts = leased.attempts
                attempts.sheds = 1
                #expect(try await queue.release(leased.lease, attempts: attempts, readyAt: .zero))
                let again = try await receive(queue)
                #expect(again.attempts.sheds == 1)
                #expect(again.lease != leased.lease)
                #expect(try await client.count("retry-sortedset") == 0)
            }
        }

        @Test func retriesOfOthersStayWhereTheyAre() async throws {
            try await RedisServer.run { server in
                try await server.withClient { client in
                    for number in 0..<2_500 {
                        try await client.type("ZADD", "retry-sortedset", "1", envelope("x\(number)", queue: "other"))
                    }
                    try await client.type("ZADD", "retry-sortedset", "1", "garbage")
                    try await client.type("ZADD", "retry-sortedset", "2", envelope("mine", queue: "request-queue"))
                    let queue = RedisChannelQueue(client: client, configuration: .init())
                    let leased = try await receive(queue)
                    #expect(leased.message.id == "mine")
                    #expect(try await client.count("retry-sortedset") == 2_501)

                    // Another process puts one there that is due at once.
                    let before = ContinuousClock.now
                    try await client.type("ZADD", "retry-sortedset", "3", envelope("later", queue: "request-queue"))
                    #expect(try await receive(queue).message.id == "later")
                    #expect(ContinuousClock.now - before < .seconds(1.5))
                    await queue.close()
                    #expect(try await client.count("retry-sortedset") == 2_501)
                }
            }
        }

        @Test func retriesAreLeftInTheSetUntilThereIsRoom() async throws {
            try await withChannel {
                $0.maximumMessages = 3
            } body: { _, client, queue in
                for number in 0..<8 {
                    try await client.type(
                        "ZADD", "retry-sortedset", "\(number + 1)", envelope("\(number)", queue: "request-queue"))
                }
                var seen: [String] = []
                while seen.count < 8 {
                    let leased = try await receive(queue)
                    seen.append(leased.message.id)
                    let depth = try await queue.depth()
                    #expect(depth.ready + depth.leased <= 3)
                    #expect(depth.delayed >= 8 - seen.count - 2)
                    #expect(try await queue.complete(leased.lease, with: result(leased)))
                }
                #expect(seen == (0..<8).map(String.init))
            }
        }

        @Test func aLeaseThatRunsOutBringsTheMessageBack() async throws {
            try await withChannel { _, client, queue in
                try await client.type("PUBLISH", "request-queue", envelope("a"))
                let leased = try await receive(queue, lease: 0.1)
                let again = try await receive(queue)
                #expect(again.message.id == "a")
                #expect(try await queue.extend([leased.lease, again.lease], duration: .seconds(9)) == [leased.lease])
                #expect(try await !queue.complete(leased.lease, with: result(leased)))
                #expect(try await queue.complete(again.lease, with: result(again)))
            }
        }

        @Test func overdueMessagesAndExcludedTargetsAreTakenApart() async throws {
            try await withChannel { _, client, queue in
                try await client.type("PUBLISH", "request-queue", envelope("a", model: "m"))
                try await client.type("PUBLISH", "request-queue", envelope("b", model: "n"))
                try await client.type("PUBLISH", "request-queue", envelope("old", model: "m", deadline: 1_000))
                try await eventually("all to arrive") { try await queue.depth().ready == 3 ? true : nil }
                let now = SystemClock().now()
                #expect(
                    try await queue.leaseOverdue(before: now, limit: 9, duration: .seconds(9)).map(\.message.id) == [
                        "old"
                    ])
                #expect(
                    try await queue.lease(limit: 9, duration: .seconds(9), excluding: ["m"]).map(\.message.id) == ["b"])
                let blocked = Task { try await queue.waitUntilReady(excluding: ["m"]) }
                try await queue.waitUntilReady(excluding: ["n"])
                blocked.cancel()
                try await blocked.value
                let cancellations = Task { try await queue.nextCancellations() }
                cancellations.cancel()
                #expect(try await cancellations.value.isEmpty)
            }
        }

        @Test func afterARestartOfTheServerTheChannelIsHeardAgainAndTheGapIsCounted() async throws {
            let errors = Mutex<[String]>([])
            try await withChannel {
                $0.reportsError = { error in errors.withLock { $0.append("\(error)") } }
            } body: { server, client, queue in
                try await client.type("PUBLISH", "request-queue", envelope("a"))
                let leased = try await receive(queue)
                server.kill()
                try await server.start()
                try await eventually("the subscription") { queue.statistics.interruptions == 1 ? true : nil }
                #expect(errors.withLock { $0.contains { $0.contains("messages are missed") } })
                try await client.type("PUBLISH", "request-queue", envelope("b"))
                #expect(try await receive(queue).message.id == "b")
                // What was in hand has stayed there.
                #expect(try await queue.complete(leased.lease, with: result(leased)))
            }
        }

        @Test func atTheEndWhatWaitsGoesToTheRetrySet() async throws {
            try await RedisServer.run { server in
                try await server.withClient { client in
                    let first = RedisChannelQueue(client: client, configuration: .init())
                    try await eventually("the subscription") { first.status == .active ? true : nil }
                    for id in ["a", "b", "c"] { try await client.type("PUBLISH", "request-queue", envelope(id)) }
                    let leased = try await receive(first)
                    try await eventually("the rest") { try await first.depth().ready == 2 ? true : nil }
                    await first.close()
                    #expect(try await client.count("retry-sortedset") == 2)
                    #expect(try await first.complete(leased.lease, with: result(leased)))

                    let second = RedisChannelQueue(client: client, configuration: .init())
                    let taken = [try await receive(second), try await receive(second)]
                    #expect(Set(taken.map(\.message.id)) == ["b", "c"])
                    await second.close()
                }
            }
        }

        // MARK: Setting

        private func withChannel(
            _ change: (inout RedisChannelQueue.Configuration) -> Void = { _ in },
            body: (RedisServer, RedisClient, RedisChannelQueue) async throws -> Void
        ) async throws {
            var configuration = RedisChannelQueue.Configuration()
            change(&configuration)
            try await RedisServer.run { server in
                try await server.withClient { client in
                    let queue = RedisChannelQueue(client: client, configuration: configuration)
                    try await eventually("the subscription") { queue.status == .active ? true : nil }
                    try await body(server, client, queue)
                    await queue.close()
                }
            }
        }

        private func envelope(
            _ id: String, model: String = "m", queue: String? = nil, deadline: Int = 2_000_000_000
        ) -> String {
            let place = queue.map { #","request_queue_name":"\#($0)""# } ?? ""
            return #"{"internal":{"request_token":"token-\#(id)"\#(place)},"request_kind":"pubsub","data":"#
                + #"{"id":"\#(id)","deadline":\#(deadline),"payload":{"model":"\#(model)","prompt":"x"}}}"#
        }

        private func receive(_ queue: RedisChannelQueue, lease: Double = 15) async throws -> LeasedMessage {
            try await eventually("a message") {
                try await queue.lease(limit: 1, duration: .seconds(lease), excluding: []).first
            }
        }

        private func result(_ leased: LeasedMessage) -> InferenceResult {
            var result = InferenceResult(
                for: leased, queue: "request-queue", attempts: leased.attempts, finished: SystemClock().now())
            result.statusCode = 200
            result.payload = Array("{}".utf8)
            return result
        }

        /// Listens to the results as a consumer does.
        private func listen(_ client: RedisClient) async -> Results {
            let results = Results()
            let subscription = client.subscribe(channels: ["result-queue"]) { event in
                if case .message(_, let payload) = event {
                    results.post(String(decoding: payload, as: UTF8.self))
                }
            }
            _ = await subscription.waitUntilDecided()
            return results
        }
    }
}

/// The results that a consumer has heard.
private final class Results: Sendable {
    private let lines = Mutex<[String]>([])
    private let signal = ChangeSignal()

    func post(_ line: String) {
        lines.withLock { $0.append(line) }
        signal.notify()
    }

    /// The next line; nil after ten seconds without.
    func next() async -> String? {
        let end = ContinuousClock.now + .seconds(10)
        while ContinuousClock.now < end {
            let version = signal.version
            if let line = lines.withLock({ $0.isEmpty ? nil : $0.removeFirst() }) { return line }
            await signal.wait(past: version, atMost: .seconds(1))
        }
        return nil
    }
}
