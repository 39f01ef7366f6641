import Basics
import Delivery
import MessageQueues
import SwiftProtobuf
import Synchronization
import Testing

@testable import PubSubQueue

/// What leaves a queue otherwise than by its result alone.
@Suite(
    .enabled(if: EmulatorInstallation.isPresent, Comment(rawValue: EmulatorInstallation.absence)),
    .timeLimit(.minutes(1)))
struct HandingBackTests {
    @Test func othersHaveWhatIsNotInWorkWithinASecondOfTheLastLease() async throws {
        try await withWorld { world in
            let first = try await world.queue { $0.ackDeadline = .seconds(600) }
            _ = try await world.publish((0..<50).map { World.body("m\($0)") })
            let held = try await first.take(2)
            try await eventually { first.metrics.outstanding == 50 }
            let second = try await world.queue { $0.ackDeadline = .seconds(600) }
            first.stopLeasing()
            let start = SystemClock().steady()
            let others = try await second.take(48)
            #expect((SystemClock().steady() - start).seconds < 1)
            #expect(Set(others.map(\.message.id)).isDisjoint(with: held.map(\.message.id)))
            // What is in work may finish, and what is given up goes back at once.
            #expect(try await first.complete(held[0].lease, with: answer(to: held[0])))
            #expect(try await first.release(held[1].lease, attempts: held[1].attempts, readyAt: .zero))
            #expect(try await second.take(1).map(\.message.id) == [held[1].message.id])
            #expect(first.metrics.outstanding == 0)
        }
    }

    @Test func theHeartbeatDoesNotWaitForWhatIsHandedBack() async throws {
        try await withWorld { world in
            _ = try await world.publish([World.body("a"), World.body("b")])
            let end = ChangeSignal()
            let events = Mutex<[String]>([])
            let change = ChangeSignal()
            @Sendable func note(_ event: String) {
                events.withLock { $0.append(event) }
                change.notify()
            }
            let queue = try await world.queue { _ in
            } calls: { client in
                let calls = AcknowledgementCalls(client, subscription: world.requestSubscription)
                return AcknowledgementCalls { request, ids throws(PubSubError) in
                    if case .setDeadline(let seconds, _) = request { note(seconds == 0 ? "back" : "extended") }
                    if case .setDeadline(0, _) = request { await end.wait(past: 0) }
                    for outcome in await calls.perform(request, ids) where outcome != .confirmed {
                        throw PubSubError(.unavailable, place: "s", detail: "\(outcome)")
                    }
                }
            }
            // One is let go at once, the other is worked on.
            _ = try await queue.take(1, duration: .milliseconds(1))
            let held = try await queue.take(1, duration: .seconds(60))
            while true {
                let version = change.version
                let seen = events.withLock { $0 }
                if seen.first == "back", seen.contains("extended") { break }
                await change.wait(past: version)
            }
            #expect(try await queue.extend(held.map(\.lease), duration: .seconds(60)) == [])
            end.notify()
        }
    }

    @Test func aResultThatIsTriedAgainDoesNotMakeASecondDeadLetter() async throws {
        try await withWorld { world in
            let topic = world.results + "-later"
            let queue = try await world.queue { $0.results = ResultDestinations(topic: topic) }
            _ = try await world.publish([World.body("a")])
            let leased = try #require(try await queue.take(1).first)
            var result = answer(to: leased)
            result.errorCode = .inferenceError
            result.isDeadLetter = true
            await #expect(throws: PubSubError.self) { try await queue.complete(leased.lease, with: result) }
            #expect(queue.metrics.deadLettered == 1)
            _ = try await world.client.createTopic(.with { $0.name = topic })
            #expect(try await queue.complete(leased.lease, with: result))
            #expect(queue.metrics.deadLettered == 1)
            #expect(try await queue.depth().deadLetters == 1)
        }
    }

    @Test func aResultIsPublishedEvenWhereTheDeadLetterTopicIsMissing() async throws {
        try await withWorld { world in
            let errors = Mutex<[String]>([])
            let queue = try await world.queue { configuration in
                configuration.deadLetterTopic = "projects/weir-tests/topics/nowhere"
                configuration.reportsError = { error in errors.withLock { $0.append("\(error)") } }
            }
            _ = try await world.publish([World.body("a")])
            let leased = try #require(try await queue.take(1).first)
            var result = answer(to: leased)
            result.errorCode = .inferenceError
            result.isDeadLetter = true
            #expect(try await queue.complete(leased.lease, with: result))
            #expect(queue.metrics.published == 1)
            #expect(queue.metrics.deadLettered == 0)
            #expect(errors.withLock { $0 }.contains { $0.contains("topics/nowhere does not exist") })
        }
    }

    @Test func theResultOfADeliveryThatMayHaveRunOutIsPublishedOnlyIfItIsStillOurs() async throws {
        for isTaken in [true, false] {
            try await withWorld { world in
                let first = try await world.queue { $0.ackDeadline = .seconds(600) }
                _ = try await world.publish([World.body("a")])
                let leased = try #require(try await first.take(1).first)
                await first.stopTaking()
                if isTaken {
                    let ids = first.state.withLock { $0.ledger.ackIDs(of: leased.lease) }
                    try await world.client.modifyAckDeadline(ids, seconds: 0, on: world.requestSubscription)
                    let second = try await world.queue()
                    _ = try await second.take(1)
                }
                // As after a pause of the whole process.
                first.state.withLock { $0.ledger.entries[leased.lease]?.deadline = .zero }
                #expect(try await first.complete(leased.lease, with: answer(to: leased)) == !isTaken)
                #expect(first.metrics.published == (isTaken ? 0 : 1))
            }
        }
    }

    @Test func everyStreamOfAQueueSaysWhoseItIs() async throws {
        try await withWorld { world in
            let first = try await world.queue()
            let second = try await world.queue()
            #expect(first.opening.clientID.count == 36)
            #expect(first.opening.clientID == first.opening.clientID)
            #expect(first.opening.clientID != second.opening.clientID)
        }
    }
}
