import Basics
import Delivery
import EmbeddedQueue
import Foundation
import MessageQueues
import Testing

/// What is finished does not stay for ever, and the file does not grow for ever.
@Suite(.timeLimit(.minutes(5))) struct RetentionTests {
    private let place: QueueDirectory

    init() throws { place = try QueueDirectory() }

    /// Runs messages through the queue.
    private func run(_ ids: [String], body: String = "{}", givesUp: Bool = false, in queue: EmbeddedQueue) async throws
    {
        _ = try await queue.enqueue(ids.map { place.message($0, body: body) })
        let messages = try await queue.lease(ids.count)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for leased in messages {
                let result = givesUp ? place.deadLetter(leased) : place.result(leased)
                group.addTask {
                    let isOurs = try await queue.complete(leased.lease, with: result)
                    #expect(isOurs)
                }
            }
            try await group.waitForAll()
        }
    }

    private func fileBytes() throws -> Int {
        try (FileManager.default.attributesOfItem(atPath: place.path)[.size] as? Int) ?? 0
    }

    @Test func resultsAndDeadLettersGoWhenTheirTimeHasCome() async throws {
        let queue = try place.open {
            $0.resultRetention = .seconds(100)
            $0.deadLetterRetention = .seconds(300)
        }
        try await run((0..<600).map { "old\($0)" }, in: queue)
        try await run(["dead"], givesUp: true, in: queue)
        place.clock.advance(.seconds(60))
        try await run(["new"], in: queue)
        #expect(try await queue.sweep() == PurgeCount())
        place.clock.advance(.seconds(60))
        #expect(try await queue.sweep().results == 601)
        var depth = try await queue.depth()
        #expect(depth.results == 1 && depth.deadLetters == 1)
        #expect(try await queue.results(after: 0, limit: 9).map(\.id) == ["new"])
        place.clock.advance(.seconds(300))
        #expect(try await queue.sweep().deadLetters == 1)
        depth = try await queue.depth()
        #expect(depth.results == 0 && depth.deadLetters == 0)
        #expect(try await queue.enqueue([place.message("old1")]) == [.accepted], "its id is forgotten")
    }

    @Test(arguments: [-1_000_000.0, 1_000_000]) func nothingIsRemovedByItsDateSoonAfterAJumpOfTheCalendar(jump: Double)
        async throws
    {
        let queue = try place.open {
            $0.resultRetention = .seconds(100)
            $0.deadLetterRetention = .seconds(100)
        }
        try await run(["a"], in: queue)
        try await run(["b"], givesUp: true, in: queue)
        place.clock.correct(by: .seconds(jump))
        #expect(try await queue.sweep() == PurgeCount())
        place.clock.advance(.seconds(3599))
        #expect(try await queue.sweep() == PurgeCount())
        // Somebody sets the clock right again.
        place.clock.correct(by: .seconds(-jump))
        #expect(try await queue.sweep() == PurgeCount())
        place.clock.advance(.seconds(3600))
        #expect(try await queue.sweep() == PurgeCount(results: 2, deadLetters: 1))
    }

    @Test func smallCorrectionsOfTheClockDoNotKeepAnything() async throws {
        let queue = try place.open { $0.resultRetention = .seconds(100) }
        try await run(["a"], in: queue)
        place.clock.correct(by: .seconds(-2))
        place.clock.advance(.seconds(110))
        #expect(try await queue.sweep().results == 1)
    }

    @Test func theOldestResultsGoWhenThereAreTooManyBytes() async throws {
        let queue = try place.open { $0.maximumResultBytes = 20_000 }
        try await run((0..<400).map { "m\($0)" }, in: queue)
        let before = try await queue.results(after: 0, limit: 1000)
        #expect(before.count == 400)
        let removed = try await queue.sweep().results
        let after = try await queue.results(after: 0, limit: 1000)
        #expect(removed > 0 && after.map(\.id) == before.dropFirst(removed).map(\.id))
        let bytes = after.reduce(0) { $0 + $1.line.count }
        #expect(bytes <= 20_000 && bytes > 19_000)
        #expect(try await queue.depth().results == after.count)
    }

    @Test func whatIsNotFinishedIsNeverRemoved() async throws {
        let queue = try place.open {
            $0.resultRetention = .zero
            $0.deadLetterRetention = .zero
            $0.maximumResultBytes = 0
        }
        _ = try await queue.enqueue((0..<5).map { place.message("m\($0)") })
        _ = try await queue.lease(2)
        place.clock.advance(.seconds(1_000_000))
        try await queue.sweep()
        _ = try await queue.purge(.finished)
        _ = try await queue.purge(.ids(["m0", "m4"]))
        #expect(try await queue.depth().unfinished == 5)
        #expect(try await queue.leaseIDs().count == 5)
    }

    @Test func aPurgeRemovesWhatItWasAskedTo() async throws {
        let queue = try place.open()
        try await run(["a", "b", "c"], in: queue)
        try await run(["x", "y"], givesUp: true, in: queue)
        #expect(try await queue.purge(.ids(["a", "x", "nobody"])) == PurgeCount(results: 2, deadLetters: 1))
        #expect(try await queue.purge(.deadLetters) == PurgeCount(results: 0, deadLetters: 1))
        #expect(try await queue.peek("y")?.payload == nil, "the payload has gone with the dead letter")
        var depth = try await queue.depth()
        #expect(depth.results == 3 && depth.deadLetters == 0)
        #expect(
            try await queue.purge(.results(finishedBefore: place.clock.now() + .seconds(1))).results == 3)
        try await run(["a", "d"], in: queue)
        #expect(try await queue.purge(.finished).results == 2)
        depth = try await queue.depth()
        #expect(depth.results == 0 && depth.unfinished == 0)
    }

    @Test func theFileDoesNotGrowUnderASteadyFlow() async throws {
        let queue = try place.open { $0.resultRetention = .seconds(50) }
        let body = "{\"a\":\"\(String(repeating: "x", count: 20_000))\"}"
        var sizes: [Int] = []
        for round in 0..<12 {
            try await run((0..<60).map { "m\(round)-\($0)" }, body: body, in: queue)
            place.clock.advance(.seconds(20))
            try await queue.sweep()
            sizes.append(try fileBytes())
        }
        let steady = try #require(sizes.dropFirst(4).max())
        #expect(steady <= sizes[3] + (2 << 20), "\(sizes)")
    }

    @Test func theFileShrinksAfterAPurge() async throws {
        let queue = try place.open()
        let body = "{\"a\":\"\(String(repeating: "x", count: 100_000))\"}"
        for round in 0..<5 { try await run((0..<40).map { "m\(round)-\($0)" }, body: body, givesUp: true, in: queue) }
        let before = try fileBytes()
        #expect(try await queue.purge(.finished).deadLetters == 200)
        let after = try fileBytes()
        #expect(before > 10 << 20 && after < 3 << 20, "\(before) -> \(after)")
    }
}
