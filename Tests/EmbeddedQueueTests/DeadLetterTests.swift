import Basics
import Delivery
import EmbeddedQueue
import Foundation
import GRDB
import MessageQueues
import Testing

/// Messages that were given up, and what can be done with them.
@Suite(.timeLimit(.minutes(5))) struct DeadLetterTests {
    private let place: QueueDirectory

    init() throws { place = try QueueDirectory() }

    /// A queue in which messages with these ids have been given up after two failures.
    private func queue(givenUp ids: [String]) async throws -> EmbeddedQueue {
        let queue = try place.open()
        _ = try await queue.enqueue(
            ids.map {
                place.message(
                    $0, body: "{\"model\":\"llama\",\"n\":\"\($0)\"}", tenant: "acme", priority: 2,
                    webhook: "https://a.example/")
            })
        for leased in try await queue.lease(ids.count) {
            var result = place.deadLetter(leased, reason: "gave up on \(leased.message.id)")
            result.attempts.failures = 2
            #expect(try await queue.complete(leased.lease, with: result))
        }
        return queue
    }

    @Test func aDeadLetterKeepsTheWholeRequestAndTheReason() async throws {
        let queue = try await queue(givenUp: ["a"])
        let letter = try #require(try await queue.deadLetters(after: 0, limit: 9).first)
        #expect(letter.isComplete && letter.reason == "gave up on a" && letter.errorCode == "INFERENCE_ERROR")
        #expect(letter.attempts.failures == 2 && letter.died == place.clock.now())
        #expect(letter.message.headers == ["x-a": "b"] && letter.message.metadata == ["k": "a"])
        #expect(letter.message.payload == Array(#"{"model":"llama","n":"a"}"#.utf8))
        #expect(letter.message.tenant == "acme" && letter.message.priority == 2)
        let depth = try await queue.depth()
        #expect(depth.deadLetters == 1 && depth.results == 1 && depth.unfinished == 0)
        #expect(try await queue.request("a", tenant: "acme")?.state == .failed)
    }

    @Test func aRedrivenMessageIsANewGenerationThatStartsAfresh() async throws {
        let queue = try await queue(givenUp: ["a", "b"])
        let old = try #require(try await queue.request("a", tenant: nil))
        #expect(try await queue.redrive(.ids(["a", "nobody"]), deadline: .distantFuture) == 1)
        #expect(try await queue.depth().deadLetters == 1)
        let view = try #require(try await queue.request("a", tenant: nil))
        #expect(view.state == .queued && view.generation != old.generation && view.deadline == old.deadline)
        #expect(try await queue.result(of: "a", tenant: nil) == nil, "the old answer is not that of the new request")
        let leased = try await queue.leaseOne()
        #expect(leased.attempts == AttemptRecord() && leased.generation == view.generation)
        #expect(leased.message.payload == Array(#"{"model":"llama","n":"a"}"#.utf8))
        #expect(leased.message.webhook == "https://a.example/" && leased.message.headers == ["x-a": "b"])

        #expect(try await queue.complete(leased.lease, with: place.result(leased)))
        #expect(try await queue.request("a", tenant: nil)?.state == .succeeded)
        #expect(try await queue.result(of: "a", tenant: nil)?.isSuccess == true)
        let all = try await queue.requests(matching: RequestFilter(), after: 0, limit: 9).views
        #expect(all.map(\.id) == ["a", "b", "a"] && all.map(\.state) == [.failed, .failed, .succeeded])
    }

    @Test func allDeadLettersRunAgainWithANewDeadlineIfTheirsHasPassed() async throws {
        let ids = (0..<250).map { "m\($0)" }
        let queue = try await queue(givenUp: ids)
        place.clock.advance(.seconds(4000))
        let deadline = place.clock.now() + .seconds(60)
        #expect(try await queue.redrive(.all, deadline: deadline) == 250)
        #expect(try await queue.redrive(.all, deadline: deadline) == 0)
        let leased = try await queue.lease(1000)
        #expect(Set(leased.map(\.message.id)) == Set(ids))
        #expect(leased.allSatisfy { $0.message.deadline == deadline })
    }

    @Test func whatIsRunningAgainIsQueuedForWhoeverSubmitsItAgain() async throws {
        let queue = try await queue(givenUp: ["a"])
        var message = try #require(try await queue.deadLetters(after: 0, limit: 1).first).message
        #expect(try await queue.enqueue([message]) == [.alreadyFinished])
        #expect(try await queue.redrive(.all, deadline: .distantFuture) == 1)
        #expect(try await queue.enqueue([message]) == [.alreadyQueued])
        message.payload = []
        #expect(try await queue.enqueue([message]) == [.conflict])
    }

    @Test func theIDOfADeadLetterIsFreeOnceItsResultIsGone() async throws {
        let queue = try await queue(givenUp: ["a"])
        _ = try await queue.purge(.results(finishedBefore: .distantFuture))
        #expect(try await queue.enqueue([place.message("a", body: "{}")]) == [.accepted])
        #expect(try await queue.redrive(.all, deadline: .distantFuture) == 0, "its id is in use")
        #expect(try await queue.depth().deadLetters == 1)
        #expect(try await queue.leaseOne().message.payload == Array("{}".utf8))
    }

    @Test func whatCanNoLongerBeReadIsKeptAsFarAsItIsThere() async throws {
        let queue = try place.open()
        _ = try await queue.enqueue([place.message("gone"), place.message("garbled")])
        try await DatabaseQueue(path: place.path).write { database in
            try database.execute(sql: "DELETE FROM payload WHERE sequence = 1")
            try database.execute(sql: "UPDATE message SET metadata = x'FF' WHERE id = 'garbled'")
        }
        #expect(try await queue.leaseIDs() == [])
        let letters = try await queue.deadLetters(after: 0, limit: 9)
        #expect(letters.map(\.errorCode) == ["PAYLOAD_UNAVAILABLE", "PAYLOAD_UNAVAILABLE"])
        #expect(letters.map(\.isComplete) == [false, false])
        #expect(letters.map { String(decoding: $0.message.payload, as: UTF8.self) } == ["", "{}"])
        #expect(try await queue.redrive(.all, deadline: .distantFuture) == 0)
        #expect(try await queue.depth().deadLetters == 2)
    }

    @Test func peekShowsEverything() async throws {
        let queue = try await queue(givenUp: ["dead"])
        _ = try await queue.enqueue([place.message("waiting", webhook: "https://b.example/")])
        let waiting = try #require(try await queue.peek("waiting"))
        #expect(waiting.payload == Array("{}".utf8) && waiting.webhook == "https://b.example/")
        #expect(waiting.headers == ["x-a": "b"] && waiting.result == nil && waiting.view.state == .queued)
        let dead = try #require(try await queue.peek("dead"))
        #expect(dead.payload == Array(#"{"model":"llama","n":"dead"}"#.utf8) && dead.result != nil)
        #expect(dead.metadata == ["k": "dead"] && dead.view.state == .failed)
        #expect(try await queue.peek("nobody") == nil)
    }

    @Test func whatIsExportedCanBeSubmittedToAnotherQueue() async throws {
        let queue = try place.open()
        place.clock.advance(TimeSpan(nanoseconds: 123_456_789))
        let messages = (0..<20).map { number in
            place.message(
                "m\(number)", body: "{\"model\":\"x\",\"n\":[\(number), 1.50]}", model: "x",
                tenant: number % 2 == 0 ? "" : "acme", priority: number % 5 - 2,
                webhook: number % 3 == 0 ? "https://a.example/" : nil)
        }
        _ = try await queue.enqueue(messages)
        let leased = try await queue.leaseOne()
        _ = try await queue.complete(leased.lease, with: place.result(leased))
        _ = try await queue.lease(3)
        var exported: [ExportedMessage] = []
        while case let page = try await queue.export(after: exported.last?.sequence ?? 0, limit: 7), !page.isEmpty {
            exported += page
        }
        let read = try exported.map {
            try MessageCodec.decode(try #require($0.line), defaults: MessageDefaults(now: .zero))
        }
        #expect(read == messages.filter { $0.id != leased.message.id })
    }
}
