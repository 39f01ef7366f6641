import Basics
import Delivery
import EmbeddedQueue
import Foundation
import MessageQueues
import Testing

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

#if os(Linux)
    private let bellsAreHeard = true
#else
    private let bellsAreHeard = false
#endif

/// What is heard of other handles and processes, without looking: the polls are an hour apart.
@Suite(.timeLimit(.minutes(5)), .enabled(if: bellsAreHeard)) struct BellTests {
    private let place: QueueDirectory

    init() throws { place = try QueueDirectory() }

    private func open(_ role: EmbeddedQueue.Role) throws -> EmbeddedQueue {
        try place.open(role) { $0.foreignPoll = .seconds(3600) }
    }

    @Test func theConsumerHearsOfNewMessages() async throws {
        let consumer = try open(.consumer)
        let client = try open(.client)
        for number in 0..<12 {
            async let waited: Void = consumer.waitUntilReady(excluding: [])
            _ = try await client.enqueue([place.message("m\(number)")])
            try await waited
            #expect(try await consumer.leaseIDs() == ["m\(number)"])
        }
    }

    @Test func clientsHearOfResults() async throws {
        let consumer = try open(.consumer)
        let client = try open(.client)
        for number in 0..<12 {
            _ = try await client.enqueue([place.message("m\(number)")])
            async let one: Void = client.waitForResult(of: "m\(number)")
            async let any: Void = client.waitForResults(after: Int64(number))
            let leased = try await consumer.leaseOne()
            _ = try await consumer.complete(leased.lease, with: place.result(leased))
            try await one
            try await any
        }
    }

    @Test func theConsumerHearsOfWhatAClientCancelled() async throws {
        let consumer = try open(.consumer)
        let client = try open(.client)
        _ = try await consumer.enqueue([place.message("a", webhook: "https://a.example/")])
        async let one: Void = consumer.waitForResult(of: "a")
        async let any: Void = consumer.waitForResults(after: 0)
        async let outbox: Void = consumer.waitForWebhooks()
        #expect(try await client.cancel("a", tenant: nil, generation: nil) == .cancelled)
        try await one
        try await any
        try await outbox
    }

    @Test func aReadWriteOfNothingRelevantRingsNoBell() async throws {
        let consumer = try open(.consumer)
        let client = try open(.client)
        func time(_ name: String) throws -> Date? {
            try FileManager.default.attributesOfItem(atPath: place.path + name)[.modificationDate] as? Date
        }
        _ = try await client.enqueue([place.message("a")])
        let (bell, done) = (try time("-bell"), try time("-done"))
        let leased = try await consumer.leaseOne()
        _ = try await consumer.extend([leased.lease], duration: .seconds(30))
        _ = try await consumer.release(leased.lease, attempts: AttemptRecord(), readyAt: .zero)
        #expect(try await client.enqueue([place.message("a")]) == [.alreadyQueued])
        #expect(try await client.depth().ready == 1)
        #expect(try time("-bell") == bell && time("-done") == done)
    }

    @Test func anotherProcessIsHeard() async throws {
        let queue = try open(.consumer)
        async let waited: Void = queue.waitUntilReady(excluding: [])
        await #expect(processExitsWith: .success) { [path = place.path as String] in
            var configuration = EmbeddedQueue.Configuration(path: path)
            configuration.createsFile = false
            let queue = try EmbeddedQueue(configuration, role: .client)
            let message = InferenceMessage(
                id: "a", created: .zero, deadline: .distantFuture, path: "/v1/completions", payload: [])
            _ = try await queue.enqueue([message])
        }
        try await waited
        #expect(try await queue.leaseIDs() == ["a"])
    }
}
