import Basics
import Delivery
import EmbeddedQueue
import Foundation
import MessageQueues
import Testing

@Suite(.timeLimit(.minutes(5))) struct EmbeddedQueueTests {
    private let place: QueueDirectory

    init() throws { place = try QueueDirectory() }

    @Test func whatWasEnqueuedIsLeasedAsItWas() async throws {
        let queue = try place.open()
        let message = place.message(
            "a", body: #"{"model":"llama","n": 1.0}"#, tenant: "acme", priority: -2, webhook: "https://a.example/hook")
        #expect(try await queue.enqueue([message]) == [.accepted])
        let leased = try await queue.lease(10)
        #expect(leased.map(\.message) == [message])
        #expect(leased.first?.enqueued == place.clock.now() && leased.first?.generation == "1")
        #expect(leased.first?.attempts == AttemptRecord())
        #expect(try await queue.leaseIDs() == [])
    }

    @Test func messagesAreLeasedByDeadlineThenBySubmission() async throws {
        let queue = try place.open()
        _ = try await queue.enqueue([
            place.message("late", window: .seconds(300)), place.message("first", window: .seconds(100)),
            place.message("middle-1", window: .seconds(200)),
        ])
        _ = try await queue.enqueue([place.message("middle-2", window: .seconds(200))])
        #expect(try await queue.leaseIDs(2) == ["first", "middle-1"])
        #expect(try await queue.leaseIDs(2) == ["middle-2", "late"])
    }

    @Test func submittingTheSameRequestAgainChangesNothing() async throws {
        let queue = try place.open()
        let message = place.message("a")
        var other = message
        other.payload = [1]
        #expect(try await queue.enqueue([message, message, other]) == [.accepted, .alreadyQueued, .conflict])
        let leased = try await queue.leaseOne()
        #expect(try await queue.enqueue([message]) == [.alreadyQueued])
        #expect(try await queue.complete(leased.lease, with: place.result(leased)))
        #expect(try await queue.enqueue([message, other]) == [.alreadyFinished, .conflict])
        #expect(try await queue.leaseIDs() == [])
        #expect(try await queue.depth().results == 1)
    }

    @Test func completingTwiceKeepsTheFirstResult() async throws {
        let queue = try place.open()
        _ = try await queue.enqueue([place.message("a")])
        let leased = try await queue.leaseOne()
        let completions = try await withThrowingTaskGroup(of: Bool.self) { group in
            for status in 200..<220 {
                group.addTask { try await queue.complete(leased.lease, with: place.result(leased, status: status)) }
            }
            return try await group.reduce(into: 0) { $0 += $1 ? 1 : 0 }
        }
        #expect(completions == 1)
        let results = try await queue.results(after: 0, limit: 10)
        #expect(results.count == 1 && results.first?.id == "a")
        #expect(try await queue.depth().unfinished == 0)
    }

    @Test func aLeaseThatRanOutIsWorthNothing() async throws {
        let queue = try place.open()
        _ = try await queue.enqueue([place.message("a")])
        let first = try await queue.leaseOne()
        place.clock.advance(.seconds(29))
        #expect(try await queue.extend([first.lease], duration: .seconds(30)) == [])
        place.clock.advance(.seconds(29))
        #expect(try await queue.leaseIDs() == [], "the lease has been extended")
        place.clock.advance(.seconds(2))
        let second = try await queue.leaseOne()
        #expect(second.lease != first.lease && second.message == first.message)

        #expect(try await queue.extend([first.lease, second.lease], duration: .seconds(30)) == [first.lease])
        #expect(try await queue.complete(first.lease, with: place.result(first)) == false)
        #expect(try await queue.release(first.lease, attempts: AttemptRecord(), readyAt: .zero) == false)
        #expect(try await queue.complete(second.lease, with: place.result(second)))
        #expect(try await queue.depth().results == 1)
    }

    @Test func aReleasedMessageComesBackAtItsTimeWithItsRecord() async throws {
        let queue = try place.open()
        _ = try await queue.enqueue([place.message("a"), place.message("b")])
        let leased = try await queue.lease(1)
        let first = try #require(leased.first)
        var attempts = AttemptRecord()
        attempts.dispatches = 4
        attempts.failures = 3
        attempts.sheds = 2
        attempts.evictions = 1
        attempts.firstDispatched = place.clock.now()
        attempts.lastStatusCode = 503
        attempts.lastEndpoint = "http://a"
        attempts.lastError = "status 503"
        let due = place.clock.now() + .seconds(5)
        #expect(try await queue.release(first.lease, attempts: attempts, readyAt: due))
        var depth = try await queue.depth()
        #expect(depth.delayed == 1 && depth.ready == 1)
        #expect(try await queue.leaseIDs() == ["b"])
        place.clock.advance(.seconds(5))
        depth = try await queue.depth()
        #expect(depth.delayed == 0 && depth.ready == 1 && depth.leased == 1)
        let again = try await queue.leaseOne()
        #expect(again.message.id == "a" && again.attempts == attempts)
    }

    @Test func aMessageReleasedAtOnceIsAtTheHeadAgain() async throws {
        let queue = try place.open()
        _ = try await queue.enqueue([place.message("a"), place.message("b"), place.message("c")])
        let first = try await queue.leaseOne()
        #expect(try await queue.release(first.lease, attempts: AttemptRecord(), readyAt: .zero))
        #expect(try await queue.leaseIDs() == ["a", "b", "c"])
    }

    @Test func resultsAreReadOnFromACursor() async throws {
        let queue = try place.open()
        _ = try await queue.enqueue((0..<5).map { place.message("m\($0)") })
        for leased in try await queue.lease(5) {
            _ = try await queue.complete(leased.lease, with: place.result(leased, status: 404))
        }
        let page = try await queue.results(after: 0, limit: 2)
        #expect(page.map(\.id) == ["m0", "m1"])
        let rest = try await queue.results(after: try #require(page.last).cursor, limit: 100)
        #expect(rest.map(\.id) == ["m2", "m3", "m4"])
        #expect(rest.allSatisfy { $0.statusCode == 404 && !$0.isSuccess })
        let line = try JSONSerialization.jsonObject(with: Data(page[0].line)) as? [String: Any]
        #expect(line?["payload"] as? String == "answer")
    }

    @Test func concurrentCallersShareTransactionsAndLoseNothing() async throws {
        let queue = try place.open()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for worker in 0..<50 {
                group.addTask {
                    for number in 0..<20 {
                        let receipts = try await queue.enqueue([place.message("\(worker)-\(number)")])
                        #expect(receipts == [.accepted])
                    }
                }
            }
            for _ in 0..<4 {
                group.addTask {
                    var mine = 0
                    while mine < 250 {
                        let leased = try await queue.lease(min(16, 250 - mine))
                        if leased.isEmpty { try await queue.waitUntilReady(excluding: []) }
                        for message in leased {
                            #expect(try await queue.complete(message.lease, with: place.result(message)))
                        }
                        mine += leased.count
                    }
                }
            }
            try await group.waitForAll()
        }
        let results = try await queue.results(after: 0, limit: 2000)
        #expect(Set(results.map(\.id)).count == 1000 && results.count == 1000)
    }

    @Test func oneLeaseCallIsBoundedByBytes() async throws {
        let queue = try place.open { $0.maximumLeaseBytes = 1000 }
        let body = "{\"a\":\"\(String(repeating: "x", count: 600))\"}"
        _ = try await queue.enqueue((0..<5).map { place.message("m\($0)", body: body) })
        #expect(try await queue.leaseIDs() == ["m0", "m1"])
    }

    @Test func whatDoesNotFitIsRefused() async throws {
        let queue = try place.open {
            $0.maximumPayloadBytes = 1000
            $0.maximumFileBytes = 400_000
        }
        let large = place.message("large", body: String(repeating: " ", count: 1001))
        await #expect(throws: MessageQueueError.messageTooLarge(id: "large", bytes: 1001, limit: 1000)) {
            try await queue.enqueue([place.message("ok"), large])
        }
        #expect(try await queue.depth().unfinished == 0, "a call is accepted as a whole or not at all")

        let body = String(repeating: " ", count: 1000)
        var accepted = 0
        let error = await #expect(throws: MessageQueueError.self) {
            while accepted < 10_000 {
                _ = try await queue.enqueue([place.message("m\(accepted)", body: body)])
                accepted += 1
            }
        }
        #expect(error == .full(place: place.path, detail: "limit 400000 bytes"))
        #expect(accepted > 20)
        // A full queue can still be worked off, and then takes messages again.
        for leased in try await queue.lease(20) {
            #expect(try await queue.complete(leased.lease, with: place.result(leased)))
        }
        #expect(try await queue.enqueue([place.message("again", body: body)]) == [.accepted])
    }

    @Test func waitingEndsWhenAMessageComes() async throws {
        let queue = try place.open { $0.foreignPoll = .seconds(3600) }
        async let waited: Void = queue.waitUntilReady(excluding: [])
        _ = try await queue.enqueue([place.message("a")])
        try await waited
        #expect(try await queue.leaseIDs() == ["a"])
    }

    @Test func waitingEndsWhenARetryIsDue() async throws {
        let queue = try place.open { $0.foreignPoll = .milliseconds(1) }
        _ = try await queue.enqueue([place.message("a")])
        let leased = try await queue.leaseOne()
        let due = place.clock.now() + .seconds(10)
        _ = try await queue.release(leased.lease, attempts: AttemptRecord(), readyAt: due)
        async let waited: Void = queue.waitUntilReady(excluding: [])
        place.clock.advance(.seconds(10))
        try await waited
        #expect(try await queue.leaseIDs() == ["a"])
    }

    @Test func waitingEndsWhenAResultComesOrTheTaskIsCancelled() async throws {
        let queue = try place.open()
        _ = try await queue.enqueue([place.message("a")])
        let leased = try await queue.leaseOne()
        async let waited: Void = queue.waitForResults(after: 0)
        _ = try await queue.complete(leased.lease, with: place.result(leased))
        try await waited
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await queue.waitUntilReady(excluding: []) }
            group.addTask { try await queue.waitForResults(after: 1) }
            group.cancelAll()
            try await group.waitForAll()
        }
    }
}
