import Basics
import EngineModel
import Testing

struct PreemptionTests {
    /// Three requests that fill six blocks of sixteen tokens and all want a third block soon.
    private func crowded(_ policy: SchedulingPolicy, priorities: [Int]) -> EngineDriver {
        var configuration = EngineConfiguration.small(kvBlocks: 6)
        configuration.policy = policy
        configuration.maxBatchedTokens = 200
        let driver = EngineDriver(configuration)
        for (position, priority) in priorities.enumerated() {
            driver.submit(UInt64(position + 1), prompt: 31, output: 10, priority: priority)
        }
        return driver
    }

    @Test func firstComeFirstServedPreemptsTheTailAndRecomputesItLater() {
        let driver = crowded(.firstComeFirstServed, priorities: [0, 0, 0])
        for _ in 0..<3 { driver.step() }
        #expect(driver.preempted == [3], "its two blocks serve 1 and 2")
        #expect(driver.engine.load.waiting == 1)
        #expect(driver.engine.load.kvBlocksUsed == 6)
        #expect(driver.drain())
        #expect(driver.finished == [1, 2, 3])
        #expect(driver.engine.load.generationTokens == 30, "tokens out before the preemption are not made again")
        #expect(driver.engine.load.promptTokens == 93)
        #expect(driver.steps.reduce(0) { $0 + $1.prefillTokens } == 93 + 33, "31 prompt tokens and 2 of its own")
    }

    @Test func priorityPreemptsTheLeastUrgentWhereverItRuns() {
        let driver = crowded(.priority, priorities: [9, 0, 0])
        for _ in 0..<3 { driver.step() }
        #expect(driver.preempted == [1])
        #expect(driver.drain())
        #expect(driver.finished.last == 1)
    }

    @Test func amongEquallyUrgentTheLatestArrivalIsPreempted() {
        let driver = crowded(.priority, priorities: [4, 4, 4])
        for _ in 0..<3 { driver.step() }
        #expect(driver.preempted == [3])
    }

    @Test func aVictimGivesItsTokensBackToTheStep() {
        // 2 is the most urgent, so it is admitted first; 1 is a victim that already has its token in this step.
        let driver = EngineDriver(
            {
                var configuration = EngineConfiguration.small(kvBlocks: 4)
                configuration.policy = .priority
                return configuration
            }())
        driver.submit(1, prompt: 17, output: 20, priority: 5)
        driver.step()
        driver.submit(2, prompt: 31, output: 10, priority: 1)
        driver.step()
        driver.step()
        driver.step()
        #expect(driver.preempted == [1])
        #expect(driver.steps.last?.decodes == 1)
        #expect(driver.drain())
        #expect(driver.finished == [2, 1])
    }

    @Test func nothingIsAdmittedInAStepThatPreempts() {
        let driver = crowded(.firstComeFirstServed, priorities: [0, 0, 0])
        driver.step()
        driver.step()
        driver.submit(4, prompt: 1, output: 1)
        driver.step()
        #expect(driver.preempted == [3])
        #expect(!driver.admitted.contains(4))
    }

    @Test func aVictimWaitsInFrontOfThoseThatNeverRan() {
        let driver = crowded(.firstComeFirstServed, priorities: [0, 0, 0])
        driver.submit(4, prompt: 31, output: 1)
        #expect(driver.drain())
        #expect(driver.preempted == [3])
        #expect(driver.admitted == [1, 2, 3, 3, 4])
    }

    @Test func aRequestLargerThanTheCacheIsRefused() {
        let driver = EngineDriver(.small(kvBlocks: 2))
        #expect(!driver.submit(1, prompt: 30, output: 3))
        #expect(!driver.submit(2, prompt: .max, output: 1))
        #expect(driver.submit(3, prompt: 30, output: 2))
        #expect(!driver.submit(3, prompt: 1, output: 1), "an id is in the engine once")
        #expect(driver.drain())
        #expect(driver.submit(3, prompt: 1, output: 1))
    }

    @Test func abortFreesBlocksAtOnceAlsoWhileAStepIsUnderWay() throws {
        let driver = EngineDriver(.small())
        driver.submit(1, prompt: 40, output: 5)
        driver.submit(2, prompt: 8, output: 5)
        driver.step()
        let span = try #require(driver.begin())
        #expect(driver.engine.load.kvBlocksUsed == 4)
        #expect(driver.abort(1))
        #expect(driver.engine.load.kvBlocksUsed == 1)
        driver.submit(3, prompt: 5, output: 1)
        driver.finish(after: span)
        #expect(driver.drain())
        #expect(driver.finished == [3, 2])
        #expect(!driver.abort(1))
        #expect(!driver.abort(2))
    }

    @Test func abortOfAWaitingRequestUnblocksTheLine() {
        let driver = EngineDriver(.small(kvBlocks: 3))
        driver.submit(1, prompt: 20, output: 4)
        driver.submit(2, prompt: 40, output: 1)
        driver.submit(3, prompt: 1, output: 1)
        driver.step()
        #expect(driver.admitted == [1])
        #expect(driver.abort(2))
        driver.step()
        #expect(driver.admitted == [1, 3])
        #expect(driver.engine.load.waiting == 0)
    }

    @Test func anAbortedRequestHasNoFurtherEvents() {
        let driver = EngineDriver(.small())
        driver.submit(1, prompt: 4, output: 5)
        _ = driver.begin()
        driver.abort(1)
        driver.finish(after: .zero)
        #expect(driver.events.isEmpty)
        #expect(driver.engine.isIdle)
    }
}
