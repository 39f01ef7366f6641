import Basics
import Delivery
import EmbeddedQueue
import MessageQueues
import Testing

/// Requests that are taken back.
@Suite(.timeLimit(.minutes(5))) struct CancelTests {
    private let place: QueueDirectory

    init() throws { place = try QueueDirectory() }

    private func errorCodes(_ queue: EmbeddedQueue) async throws -> [String?] {
        try await queue.results(after: 0, limit: 100).map(\.errorCode)
    }

    @Test func whatWaitsHasItsResultAtOnce() async throws {
        let queue = try place.open()
        _ = try await queue.enqueue([place.message("ready"), place.message("delayed", window: .seconds(1))])
        let leased = try await queue.leaseOne()
        _ = try await queue.release(
            leased.lease, attempts: AttemptRecord(), readyAt: place.clock.now() + .seconds(50))
        for id in ["ready", "delayed"] {
            #expect(try await queue.cancel(id, tenant: nil, generation: nil) == .cancelled)
            #expect(try await queue.cancel(id, tenant: nil, generation: nil) == .alreadyFinished)
        }
        #expect(try await errorCodes(queue) == ["CANCELLED", "CANCELLED"])
        #expect(queue.ownResults.cancelled == 2 && queue.ownResults.failed == 0)
        #expect(try await queue.depth().unfinished == 0)
        #expect(try await queue.leaseIDs() == [])
    }

    @Test func whatIsInWorkIsReportedOnce() async throws {
        let queue = try place.open { $0.foreignPoll = .seconds(3600) }
        _ = try await queue.enqueue([place.message("a"), place.message("b")])
        let leased = try await queue.lease()
        async let first = queue.nextCancellations()
        #expect(try await queue.cancel("b", tenant: nil, generation: nil) == .cancelling)
        #expect(try await first == [leased[1].lease])
        #expect(try await queue.cancel("b", tenant: nil, generation: nil) == .cancelling)
        #expect(try await queue.cancel("a", tenant: nil, generation: nil) == .cancelling)
        #expect(try await queue.nextCancellations() == [leased[0].lease])
    }

    @Test func aCancelledMessageThatComesBackEnds() async throws {
        let queue = try place.open()
        _ = try await queue.enqueue([place.message("a"), place.message("b")])
        let leased = try await queue.lease()
        for id in ["a", "b"] { _ = try await queue.cancel(id, tenant: nil, generation: nil) }
        #expect(queue.ownResults.cancelled == 0)
        #expect(try await queue.release(leased[0].lease, attempts: AttemptRecord(), readyAt: .zero))
        #expect(try await errorCodes(queue) == ["CANCELLED"])
        place.clock.advance(.seconds(31))
        #expect(try await queue.leaseIDs() == [], "the lease of the other one ran out")
        #expect(try await errorCodes(queue) == ["CANCELLED", "CANCELLED"])
        #expect(queue.ownResults.cancelled == 2)
    }

    @Test func anAnswerThatWasGivenFirstStays() async throws {
        let queue = try place.open()
        _ = try await queue.enqueue([place.message("a")])
        let leased = try await queue.leaseOne()
        _ = try await queue.cancel("a", tenant: nil, generation: nil)
        #expect(try await queue.complete(leased.lease, with: place.result(leased)))
        #expect(try await errorCodes(queue) == [nil])
        #expect(try await queue.request("a", tenant: nil)?.state == .succeeded)
    }

    @Test func whatADeadConsumerHeldAndWasCancelledEndsWhenTheNextOneComes() async throws {
        let first = try place.open()
        _ = try await first.enqueue([place.message("a"), place.message("b")])
        _ = try await first.lease()
        try first.close()
        let client = try place.open(.client)
        #expect(try await client.cancel("a", tenant: nil, generation: nil) == .cancelling)
        async let waited: Void = client.waitForResult(of: "a")
        let second = try place.open()
        try await waited
        #expect(try await errorCodes(second) == ["CANCELLED"])
        #expect(try await second.leaseIDs() == ["b"])
    }

    @Test func onlyTheOwnersAndOnlyThatUseOfTheIDIsCancelled() async throws {
        let queue = try place.open()
        _ = try await queue.enqueue([place.message("a", tenant: "acme")])
        #expect(try await queue.cancel("a", tenant: "other", generation: nil) == .unknown)
        #expect(try await queue.cancel("a", tenant: "acme", generation: "17") == .unknown)
        #expect(try await queue.cancel("nobody", tenant: nil, generation: nil) == .unknown)
        let generation = try await queue.request("a", tenant: "acme")?.generation
        #expect(try await queue.cancel("a", tenant: "acme", generation: generation) == .cancelled)
    }

    @Test func anotherProcessCancelsWhatIsInWorkHere() async throws {
        let consumer = try place.open { $0.foreignPoll = .seconds(3600) }
        let client = try place.open(.client)
        _ = try await client.enqueue([place.message("a")])
        let leased = try await consumer.leaseOne()
        async let cancellations = consumer.nextCancellations()
        #expect(try await client.cancel("a", tenant: nil, generation: nil) == .cancelling)
        #expect(try await cancellations == [leased.lease])
    }
}
