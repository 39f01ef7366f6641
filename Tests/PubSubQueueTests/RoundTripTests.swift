import Basics
import Delivery
import Foundation
import MessageQueues
import Testing

@testable import PubSubQueue

@Suite(
    .enabled(if: EmulatorInstallation.isPresent, Comment(rawValue: EmulatorInstallation.absence)),
    .timeLimit(.minutes(2)))
struct RoundTripTests {
    @Test func aMessageComesWithItsAttributesAndItsResultIsPublishedWithAKey() async throws {
        try await withWorld { world in
            let queue = try await world.queue()
            let reader = try Reader(world, topic: world.results)
            let ids = try await world.publish(
                [World.body("a")], attributes: ["customer": "acme", "result_route": "west"])
            let leased = try #require(try await queue.take(1).first)
            #expect(leased.message.id == "a")
            #expect(leased.message.metadata == ["customer": "acme", "result_route": "west"])
            #expect(leased.generation == ids[0])
            #expect(leased.attempts.dispatches == 0)
            #expect(try await queue.complete(leased.lease, with: answer(to: leased)))
            let published = try #require(await reader.messages(1).first)
            #expect(published.attributes["result_key"] == "a/\(ids[0])")
            #expect(published.attributes["status"] == "200")
            #expect(published.attributes["result_route"] == "west")
            let line = try #require(
                try JSONSerialization.jsonObject(with: published.data) as? [String: Any])
            #expect(line["id"] as? String == "a")
            #expect(line["payload"] as? String == "{\"ok\":true}")
            #expect(queue.metrics.acked == 1)
            #expect(queue.metrics.outstanding == 0)
            await reader.stop()
        }
    }

    @Test func whatIsEnqueuedComesOut() async throws {
        try await withWorld { world in
            let queue = try await world.queue()
            let now = SystemClock().now()
            let message = InferenceMessage(
                id: "x", created: now, deadline: now + .seconds(600), path: "/v1/chat/completions",
                payload: Array("{\"model\":\"m\"}".utf8), model: "m", metadata: ["k": "v"])
            #expect(try await queue.enqueue([message]) == [.accepted])
            let leased = try #require(try await queue.take(1).first)
            #expect(leased.message.path == message.path)
            #expect(leased.message.payload == message.payload)
            #expect(leased.message.deadline == message.deadline)
            #expect(try await queue.depth().leased == 1)
        }
    }

    @Test func aResultGoesToTheTopicOfItsRoute() async throws {
        try await withWorld { world in
            let queue = try await world.queue {
                $0.results = ResultDestinations(topic: world.results, topicsByRoute: ["b": world.deadLetters])
            }
            let routed = try Reader(world, topic: world.deadLetters)
            let others = try Reader(world, topic: world.results)
            _ = try await world.publish([World.body("one")], attributes: ["result_route": "b"])
            _ = try await world.publish([World.body("two")], attributes: ["result_route": "unknown"])
            for leased in try await queue.take(2) {
                #expect(try await queue.complete(leased.lease, with: answer(to: leased)))
            }
            #expect(await routed.messages(1).map { $0.attributes["id"] } == ["one"])
            #expect(await others.messages(1).map { $0.attributes["id"] } == ["two"])
            await routed.stop()
            await others.stop()
        }
    }

    @Test func fiveThousandMessagesPassWithOneResultEachOverOneStream() async throws {
        try await withWorld { world in
            let queue = try await world.queue { $0.ackDeadline = .seconds(60) }
            let reader = try Reader(world, topic: world.results)
            let count = 5000
            let start = SystemClock().steady()
            async let publishing: Void = withThrowingTaskGroup(of: Void.self) { group in
                for first in stride(from: 0, to: count, by: 500) {
                    group.addTask { _ = try await world.publish((first..<first + 500).map { World.body("m\($0)") }) }
                }
                try await group.waitForAll()
            }
            try await withThrowingTaskGroup(of: Bool.self) { group in
                var taken = 0
                while taken < count {
                    try await queue.waitUntilReady(excluding: [])
                    let messages = try await queue.lease(limit: 500, duration: .seconds(30), excluding: [])
                    taken += messages.count
                    for leased in messages {
                        group.addTask { try await queue.complete(leased.lease, with: answer(to: leased)) }
                    }
                }
                for try await tookEffect in group { #expect(tookEffect) }
            }
            try await publishing
            let seconds = (SystemClock().steady() - start).seconds
            let keys = await reader.messages(count).compactMap { $0.attributes["result_key"] }
            #expect(Set(keys).count == count)
            #expect(keys.count == count)
            #expect(queue.metrics.acked == count)
            #expect(queue.metrics.received == count)
            #expect(queue.metrics.streamRestarts == 0)
            #expect(seconds < 60, "\(Double(count) / seconds) messages/s")
            await reader.stop()
        }
    }
}
