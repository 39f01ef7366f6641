import Basics
import Delivery
import Foundation
import MessageQueues
import Testing

@testable import PubSubQueue

/// How messages flow: credit, order, pauses, and what cannot be read.
@Suite(
    .enabled(if: EmulatorInstallation.isPresent, Comment(rawValue: EmulatorInstallation.absence)),
    .timeLimit(.minutes(2)))
struct FlowTests {
    @Test func theProcessorsAppetiteComesAndGoesOverOneStreamAndTheBoundHolds() async throws {
        try await withWorld { world in
            let queue = try await world.queue {
                $0.maximumOutstandingMessages = 100
                $0.lowWater = 10
                $0.ackDeadline = .seconds(60)
            }
            let count = 300
            for first in stride(from: 0, to: count, by: 100) {
                _ = try await world.publish((first..<first + 100).map { World.body("m\($0)") })
            }
            var most = 0
            var done = 0
            var limit = 1
            while done < count {
                let messages = try await queue.take(min(limit, count - done))
                most = max(most, queue.metrics.outstanding)
                for leased in messages {
                    #expect(try await queue.complete(leased.lease, with: answer(to: leased)))
                }
                done += messages.count
                limit = limit % 64 * 2 + 1
            }
            #expect(queue.metrics.streamRestarts == 0)
            // One response more than twice the bound, which the emulator does not keep.
            #expect(most <= 300, "\(most) out")
            #expect(queue.metrics.received == count)
            #expect(try await queue.depth().unfinished == 0)
        }
    }

    @Test func whatIsNotReadForAWhileIsNotLost() async throws {
        try await withWorld({ $0.ackDeadline = .seconds(10) }) { world in
            let queue = try await world.queue { $0.lowWater = 1 }
            for first in stride(from: 0, to: 400, by: 10) {
                _ = try await world.publish((first..<first + 10).map { World.body("m\($0)") })
            }
            try await Task.sleep(for: .seconds(13))
            let messages = try await queue.take(400)
            #expect(Set(messages.map(\.message.id)).count == 400)
            // On a machine that is very busy a few may run out; without reading in between nearly all would.
            #expect(queue.metrics.received < 440)
        }
    }

    @Test func whatRanOutUnreadIsNotRunWhereTheBrokerSaysSo() async throws {
        try await withWorld { world in
            // The emulator keeps to no bound, so that most of these lie unread until long after their deadline.
            let first = try await world.queue {
                $0.maximumOutstandingMessages = 20
                $0.lowWater = 1
            }
            for start in stride(from: 0, to: 200, by: 20) {
                _ = try await world.publish((start..<start + 20).map { World.body("m\($0)") })
            }
            try await eventually { first.metrics.outstanding >= 40 }
            try await Task.sleep(for: .seconds(12))
            var ids: [String] = []
            while ids.count < 200 {
                for leased in try await first.take(1) {
                    ids.append(leased.message.id)
                    #expect(try await first.complete(leased.lease, with: answer(to: leased)))
                }
            }
            #expect(Set(ids).count == 200)
            #expect(first.metrics.received > 200)
            #expect(first.metrics.published == 200)
        }
    }

    @Test func messagesOfOneOrderingKeyRunOneAtATimeInTheirOrder() async throws {
        try await withWorld({ $0.isOrdered = true }) { world in
            let queue = try await world.queue()
            // Deadlines run against the order of publication.
            for index in 0..<4 {
                _ = try await world.publish(
                    [World.body("k\(index)", deadline: 1_999_999_999 - index)], orderingKey: "k")
            }
            _ = try await world.publish([World.body("other")], orderingKey: "l")
            var order: [String] = []
            var inHand: [LeasedMessage] = []
            while order.count < 5 {
                if inHand.isEmpty { inHand = try await queue.take(1) }
                let leased = inHand.removeFirst()
                inHand += try await queue.lease(limit: 10, duration: .seconds(30), excluding: [])
                #expect(!inHand.contains { $0.message.id.first == leased.message.id.first })
                if leased.message.id == "k1", leased.attempts.dispatches == 0 {
                    // It is to be tried again: those behind it wait.
                    var attempts = leased.attempts
                    attempts.dispatches += 1
                    let readyAt = SystemClock().now() + .seconds(1)
                    #expect(try await queue.release(leased.lease, attempts: attempts, readyAt: readyAt))
                    continue
                }
                order.append(leased.message.id)
                #expect(try await queue.complete(leased.lease, with: answer(to: leased)))
            }
            #expect(order.filter { $0 != "other" } == ["k0", "k1", "k2", "k3"])
        }
    }

    @Test func aMessageGivenBackComesAfterItsPauseWithItsRecord() async throws {
        try await withWorld { world in
            let queue = try await world.queue()
            _ = try await world.publish([World.body("a")])
            let leased = try #require(try await queue.take(1).first)
            var attempts = leased.attempts
            attempts.dispatches = 3
            attempts.failures = 2
            let start = SystemClock().steady()
            #expect(
                try await queue.release(
                    leased.lease, attempts: attempts, readyAt: SystemClock().now() + .milliseconds(2500)))
            #expect(try await queue.depth().delayed == 1)
            let again = try #require(try await queue.take(1).first)
            let pause = (SystemClock().steady() - start).seconds
            #expect((2.4..<8).contains(pause), "\(pause)")
            #expect(again.attempts == attempts)
            #expect(try await queue.release(again.lease, attempts: attempts, readyAt: .zero))
            let third = try #require(try await queue.take(1).first)
            #expect(try await queue.complete(third.lease, with: answer(to: third)))
            // It never went back to the broker, which would have counted another delivery.
            #expect(queue.metrics.received == 1)
            #expect(queue.metrics.nacked == 0)
        }
    }

    @Test func anotherProcessKnowsFromTheBrokerHowOftenAMessageCame() async throws {
        try await withWorld { world in
            let first = try await world.queue()
            _ = try await world.publish([World.body("a")])
            let leased = try #require(try await first.take(1).first)
            #expect(leased.attempts.dispatches == 0)
            await first.close(within: .seconds(5))
            let second = try await world.queue()
            let again = try #require(try await second.take(1).first)
            #expect(again.attempts.dispatches == 1)
            #expect(again.attempts.failures == 0)
            #expect(second.metrics.redelivered == 1)
        }
    }

    @Test func whatCannotBeReadGoesToTheDeadLetterTopicWithTheReason() async throws {
        try await withWorld { world in
            let queue = try await world.queue()
            let reader = try Reader(world, topic: world.deadLetters)
            let ids = try await world.publish(["no JSON"], attributes: ["customer": "acme"])
            let letter = try #require(await reader.messages(1).first)
            #expect(String(decoding: letter.data, as: UTF8.self) == "no JSON")
            #expect(letter.attributes["customer"] == "acme")
            #expect(letter.attributes[DeadLetter.reasonAttribute]?.contains("not a valid JSON object") == true)
            #expect(letter.attributes[DeadLetter.messageAttribute] == ids[0])
            #expect(letter.attributes[DeadLetter.subscriptionAttribute] == world.requestSubscription)
            try await eventually { queue.metrics.acked == 1 }
            #expect(queue.metrics.deadLettered == 1)
            #expect(try await queue.depth().deadLetters == 1)
            #expect(try await queue.staysEmpty(for: .milliseconds(500)))
            await reader.stop()
        }
    }

    @Test func withoutADeadLetterTopicOfOursTheBrokerTakesWhatCannotBeRead() async throws {
        try await withWorld({ $0.maximumDeliveryAttempts = 5 }) { world in
            let queue = try await world.queue { $0.deadLetterTopic = nil }
            let reader = try Reader(world, topic: world.deadLetters)
            _ = try await world.publish(["no JSON"])
            let letter = try #require(await reader.messages(1).first)
            #expect(String(decoding: letter.data, as: UTF8.self) == "no JSON")
            #expect(queue.metrics.unreadable == 5)
            #expect(queue.metrics.acked == 0)
            await reader.stop()
        }
    }

    @Test func aMessageThatIsGivenUpIsKeptAsADeadLetterBesideItsResult() async throws {
        try await withWorld { world in
            let queue = try await world.queue()
            let letters = try Reader(world, topic: world.deadLetters)
            let results = try Reader(world, topic: world.results)
            _ = try await world.publish([World.body("a")])
            let leased = try #require(try await queue.take(1).first)
            var result = answer(to: leased)
            result.errorCode = .inferenceError
            result.errorMessage = "gave up"
            result.isDeadLetter = true
            #expect(try await queue.complete(leased.lease, with: result))
            let letter = try #require(await letters.messages(1).first)
            #expect(letter.attributes[DeadLetter.reasonAttribute] == "gave up")
            let decoded = try MessageCodec.decode(Array(letter.data), defaults: MessageDefaults(now: .zero))
            #expect(decoded.payload == leased.message.payload)
            #expect(await results.messages(1).first?.attributes["status"] == "INFERENCE_ERROR")
            await letters.stop()
            await results.stop()
        }
    }
}
