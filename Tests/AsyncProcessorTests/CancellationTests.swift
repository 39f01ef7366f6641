import AsyncProcessor
import Basics
import Delivery
import EmbeddedQueue
import MessageQueues
import Testing

/// Requests that their owners take back. Polls are an hour apart and no deadline is near, so only the cancellation itself can
/// end a request; how long that takes in milliseconds is measured with real processes (`Tests/Processes/test_front_door.py`).
@Suite(.serialized, .timeLimit(.minutes(5))) struct CancellationTests {
    private let plant: Plant
    private let pool = ScriptedPool()
    private let processor: AsyncProcessor

    init() throws {
        plant = try Plant(foreignPoll: .seconds(3600), usesSystemClock: true)
        processor = plant.processor(pool, clock: SystemClock()) { $0.lookahead = 2 }
    }

    private func submit(_ ids: [String]) async throws {
        let now = SystemClock().now()
        _ = try await plant.queue.enqueue(
            ids.map {
                InferenceMessage(
                    id: $0, created: now, deadline: now + .seconds(3600), path: "/v1/completions",
                    payload: Array("{}".utf8))
            })
    }

    @Test func whatWaitsInTheQueueHasItsResultAtOnce() async throws {
        async let run: Void = processor.run()
        try await submit(["a", "b", "c"])
        await pool.until { $0.offered == ["a", "b"] }
        #expect(try await plant.queue.cancel("c", tenant: nil, generation: nil) == .cancelled)
        let result = try #require(try await plant.queue.result(of: "c", tenant: nil))
        #expect(result.errorCode == "CANCELLED")
        #expect(try await plant.queue.cancel("c", tenant: nil, generation: nil) == .alreadyFinished)
        #expect(pool.offers["c"] == nil)
        processor.stop()
        await run
    }

    @Test(arguments: [false, true])
    func whatIsOfferedOrInWorkIsTakenBackAtOnce(fromAnotherProcess: Bool) async throws {
        let canceller = fromAnotherProcess ? try plant.client() : plant.queue
        async let run: Void = processor.run()
        for round in 0..<10 {
            let ids = ["started\(round)", "offered\(round)"]
            try await submit(ids)
            await pool.until { $0.offered == Set(ids) }
            pool.start(ids[0])
            for id in ids {
                #expect(try await canceller.cancel(id, tenant: nil, generation: nil) == .cancelling)
                await pool.until { !$0.isHolding(id) }
                try await plant.queue.waitForResult(of: id)
                #expect(try await plant.queue.result(of: id, tenant: nil)?.errorCode == "CANCELLED")
            }
        }
        processor.stop()
        await run
        #expect(processor.counters.cancelled == 20 && processor.counters.held == 0)
        #expect(try await plant.queue.depth().unfinished == 0)
    }

    @Test func aCancellationOfAnotherGenerationOrTenantChangesNothing() async throws {
        async let run: Void = processor.run()
        try await submit(["a"])
        await pool.until { $0.offered == ["a"] }
        #expect(try await plant.queue.cancel("a", tenant: "other", generation: nil) == .unknown)
        #expect(try await plant.queue.cancel("a", tenant: nil, generation: "another") == .unknown)
        pool.start("a")
        pool.end("a", .status(200))
        #expect(try await plant.results(1).first?.isSuccess == true)
        processor.stop()
        await run
        #expect(processor.counters.cancelled == 0)
    }

    @Test func whatIsCancelledDuringAStopIsNotRunAgain() async throws {
        pool.isStubborn = true
        async let run: Void = processor.run()
        try await submit(["a"])
        await pool.until { $0.offered == ["a"] }
        pool.start("a")
        #expect(try await plant.queue.cancel("a", tenant: nil, generation: nil) == .cancelling)
        processor.stop()
        // The pool hears of it late, and nothing comes of the request.
        pool.end("a", .withdrawn)
        await run
        #expect(try await plant.results(1).first?.errorCode == "CANCELLED")
        #expect(try await plant.queue.depth().unfinished == 0)
    }
}
