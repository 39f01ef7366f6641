import Basics
import Delivery
import EmbeddedQueue
import MessageQueues
import Testing

/// Waiting for the result of one request.
@Suite(.timeLimit(.minutes(5))) struct ResultWaitersTests {
    private let place: QueueDirectory

    init() throws { place = try QueueDirectory() }

    @Test func waitingForWhatIsFinishedOrUnknownIsOverAtOnce() async throws {
        let queue = try place.open()
        _ = try await queue.enqueue([place.message("a")])
        let leased = try await queue.leaseOne()
        _ = try await queue.complete(leased.lease, with: place.result(leased))
        try await queue.waitForResult(of: "a")
        try await queue.waitForResult(of: "nobody")
    }

    @Test(arguments: [EmbeddedQueue.Role.consumer, .client])
    func everyWaiterWakesForItsOwnResult(role: EmbeddedQueue.Role) async throws {
        let consumer = try place.open()
        let waiting = role == .consumer ? consumer : try place.open(.client)
        let count = 2000
        _ = try await consumer.enqueue((0..<count).map { place.message("m\($0)") })
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<count {
                group.addTask {
                    try await waiting.waitForResult(of: "m\(number)")
                    #expect(try await waiting.result(of: "m\(number)", tenant: nil) != nil, "woken too early")
                }
            }
            group.addTask {
                while case let leased = try await consumer.lease(50), !leased.isEmpty {
                    for message in leased {
                        _ = try await consumer.complete(message.lease, with: place.result(message))
                    }
                }
            }
            try await group.waitForAll()
        }
    }

    @Test func aCancelledTaskWaitsNoLonger() async throws {
        let queue = try place.open()
        _ = try await queue.enqueue([place.message("a")])
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<20 { group.addTask { try await queue.waitForResult(of: "a") } }
            group.cancelAll()
            try await group.waitForAll()
        }
        #expect(try await queue.result(of: "a", tenant: nil) == nil)
    }

    @Test func closingEndsTheWait() async throws {
        let queue = try place.open()
        _ = try await queue.enqueue([place.message("a")])
        async let waited: Void = queue.waitForResult(of: "a")
        await Task.yield()
        try queue.close()
        // Either it had begun, and ends; or it meets the closed file.
        do { try await waited } catch let error as MessageQueueError { #expect(error == .closed) }
    }
}
