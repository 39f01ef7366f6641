import Basics
import Delivery
import Foundation
import MessageQueues
import Synchronization
import Testing

@testable import PubSubQueue

/// What happens to messages when something goes wrong between their delivery and their acknowledgement.
@Suite(
    .enabled(if: EmulatorInstallation.isPresent, Comment(rawValue: EmulatorInstallation.absence)),
    .timeLimit(.minutes(2)))
struct SafetyTests {
    @Test func aMessageWhoseResultCannotBePublishedIsNotAcknowledged() async throws {
        try await withWorld { world in
            let ids = try await world.publish([World.body("a")])
            let first = try await world.queue {
                $0.results = ResultDestinations(topic: "projects/weir-tests/topics/nowhere")
            }
            let leased = try #require(try await first.take(1).first)
            let error = await #expect(throws: PubSubError.self) {
                try await first.complete(leased.lease, with: answer(to: leased))
            }
            #expect(error?.kind == .notFound)
            #expect(first.metrics.acked == 0)
            await first.close(within: .seconds(5))

            let second = try await world.queue()
            let again = try #require(try await second.take(1).first)
            #expect(again.message == leased.message)
            #expect(again.generation == ids[0])
            #expect(try await second.complete(again.lease, with: answer(to: again)))
        }
    }

    @Test func aMessageThatTheProcessorLetsGoComesAgainUnderAnotherLease() async throws {
        try await withWorld { world in
            let queue = try await world.queue()
            _ = try await world.publish([World.body("a")])
            let first = try #require(try await queue.take(1, duration: .milliseconds(300)).first)
            let second = try #require(try await queue.take(1).first)
            #expect(first.message == second.message)
            #expect(first.generation == second.generation)
            #expect(first.lease != second.lease)
            #expect(try await queue.extend([first.lease, second.lease], duration: .seconds(30)) == [first.lease])
            #expect(try await !queue.complete(first.lease, with: answer(to: first)))
            #expect(try await queue.complete(second.lease, with: answer(to: second)))
            #expect(queue.metrics.published == 1)
        }
    }

    @Test func aMessageDeliveredAgainWhileItIsInHandIsNotHandedOutTwice() async throws {
        for isExactlyOnce in [true, false] {
            try await withWorld({ $0.isExactlyOnce = isExactlyOnce }) { world in
                let queue = try await world.queue()
                _ = try await world.publish([World.body("a")])
                let leased = try #require(try await queue.take(1).first)
                let former = queue.state.withLock { $0.ledger.ackIDs(of: leased.lease) }
                try await world.client.modifyAckDeadline(former, seconds: 0, on: world.requestSubscription)
                try await eventually { queue.metrics.redelivered == 1 }
                #expect(try await queue.lease(limit: 1, duration: .seconds(30), excluding: []).isEmpty)
                let ids = queue.state.withLock { $0.ledger.ackIDs(of: leased.lease) }
                #expect(ids.count == (isExactlyOnce ? 1 : 2))
                #expect(ids.last != former.first)
                #expect(try await queue.complete(leased.lease, with: answer(to: leased)))
                #expect(queue.metrics.outstanding == 0)
            }
        }
    }

    @Test func withExactlyOnceAnAcknowledgementThatCameTooLateIsToldAndTheResultsHaveOneKey() async throws {
        try await withWorld { world in
            let reader = try Reader(world, topic: world.results)
            // Too long for a heartbeat to notice first.
            let first = try await world.queue { $0.ackDeadline = .seconds(600) }
            _ = try await world.publish([World.body("a")])
            let leased = try #require(try await first.take(1).first)
            await first.stopTaking()
            let ids = first.state.withLock { $0.ledger.ackIDs(of: leased.lease) }
            try await world.client.modifyAckDeadline(ids, seconds: 0, on: world.requestSubscription)
            let second = try await world.queue()
            let again = try #require(try await second.take(1).first)
            #expect(try await !first.complete(leased.lease, with: answer(to: leased)))
            #expect(first.metrics.ackFailures == 1)
            #expect(first.metrics.acked == 0)
            #expect(try await second.complete(again.lease, with: answer(to: again)))
            let keys = await reader.messages(2).map { $0.attributes["result_key"] }
            #expect(Set(keys).count == 1)
            await reader.stop()
        }
    }

    @Test func aMessageThatComesAgainAfterItsResultIsAcknowledgedWithoutRunning() async throws {
        // Without exactly-once delivery the acknowledgement of a former delivery is accepted and does nothing.
        try await withWorld({ $0.isExactlyOnce = false }) { world in
            let queue = try await world.queue()
            _ = try await world.publish([World.body("a")])
            let leased = try #require(try await queue.take(1).first)
            let ids = queue.state.withLock { $0.ledger.ackIDs(of: leased.lease) }
            // The broker delivers again, and the result is there before this process has seen that.
            async let returned: Void = world.client.modifyAckDeadline(ids, seconds: 0, on: world.requestSubscription)
            #expect(try await queue.complete(leased.lease, with: answer(to: leased)))
            try await returned
            #expect(try await queue.staysEmpty(for: .seconds(1)))
            #expect(queue.metrics.published == 1)
            try await eventually { queue.metrics.outstanding == 0 }
        }
    }

    @Test func aLongRunIsKeptAliveBeyondTheAckDeadline() async throws {
        try await withWorld({ $0.ackDeadline = .seconds(10) }) { world in
            let queue = try await world.queue()
            _ = try await world.publish([World.body("a"), World.body("b")])
            let leased = try #require(try await queue.take(1, duration: .seconds(4)).first)
            // The other stays in stock, which nobody extends but the queue itself.
            let end = SystemClock().steady() + .seconds(24)
            while SystemClock().steady() < end {
                try await Task.sleep(for: .seconds(1))
                #expect(try await queue.extend([leased.lease], duration: .seconds(4)) == [])
            }
            #expect(queue.metrics.redelivered == 0)
            #expect(try await queue.complete(leased.lease, with: answer(to: leased)))
            let other = try #require(try await queue.take(1).first)
            #expect(try await queue.complete(other.lease, with: answer(to: other)))
            #expect(queue.metrics.acked == 2)
        }
    }

    @Test func closingHandsBackAtOnceWhatNobodyWorksOn() async throws {
        try await withWorld { world in
            let first = try await world.queue { $0.ackDeadline = .seconds(600) }
            _ = try await world.publish((0..<20).map { World.body("m\($0)") })
            let held = try await first.take(3)
            try await eventually { first.metrics.outstanding == 20 }
            async let completion = first.complete(held[0].lease, with: answer(to: held[0]))
            #expect(try await completion)
            let start = SystemClock().steady()
            await first.close(within: .seconds(10))
            #expect(first.metrics.outstanding == 0)
            let second = try await world.queue()
            let messages = try await second.take(19)
            #expect(Set(messages.map(\.message.id)).count == 19)
            #expect((SystemClock().steady() - start).seconds < 10)
            #expect(try await first.lease(limit: 1, duration: .seconds(1), excluding: []).isEmpty)
        }
    }

    @Test func afterALossOfTheConnectionTheQueueGoesOnByItself() async throws {
        let port = try Emulator.freePort()
        let before = try await Emulator(port: port)
        let errors = Mutex(0)
        try await withWorld(on: before) { world in
            let queue = try await world.queue { $0.reportsError = { _ in errors.withLock { $0 += 1 } } }
            _ = try await world.publish([World.body("a")])
            let leased = try #require(try await queue.take(1).first)
            before.stop()
            await #expect(throws: PubSubError.self) {
                try await queue.complete(leased.lease, with: answer(to: leased))
            }
            let after = try await Emulator(port: port)
            // The emulator forgets everything: its topics are made anew, and other messages are handed in. The first of
            // them gets the message id that the lost one had, and so is taken for its next delivery.
            try await eventually { (try? await world.setup.apply(world.connection)) != nil }
            try await eventually { (try? await world.publish([World.body("a"), World.body("b")])) != nil }
            let next = try #require(try await queue.take(1).first)
            #expect(next.message.id == "b")
            #expect(try await queue.complete(next.lease, with: answer(to: next)))
            #expect(queue.metrics.streamRestarts > 0)
            await queue.close(within: .seconds(5))
            after.stop()
        }
    }
}

/// Waits for what no event tells, by looking every few milliseconds; the test's time limit ends it.
func eventually(_ condition: () async throws -> Bool) async throws {
    while try await !condition() { try await Task.sleep(for: .milliseconds(10)) }
}
