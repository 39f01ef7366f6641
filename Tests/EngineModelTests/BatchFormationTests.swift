import Basics
import EngineModel
import Testing

struct BatchFormationTests {
    @Test func aLoneRequestTakesOneStepPerTokenAndTheFirstComesWithThePrompt() {
        let driver = EngineDriver(.small(), emitsEveryToken: true)
        driver.submit(7, prompt: 40, output: 3)
        #expect(driver.drain())
        #expect(
            driver.events == [
                .admitted(id: 7, waited: .zero), .firstToken(id: 7), .token(id: 7), .token(id: 7),
                .finished(id: 7, promptTokens: 40, cachedTokens: 0, outputTokens: 3),
            ])
        #expect(driver.spans == [.milliseconds(1.4), .milliseconds(1.1), .milliseconds(1.1)])
        #expect(driver.steps.map(\.contextTokens) == [0, 40, 41])
        #expect(driver.engine.load.busy == .milliseconds(3.6))
    }

    @Test func aLongPromptIsComputedInChunksOfTheBudgetBesideTheDecodes() {
        let driver = EngineDriver(.small())
        driver.submit(1, prompt: 10, output: 10)
        driver.step()
        driver.submit(2, prompt: 150, output: 1)
        #expect(driver.drain())
        #expect(driver.steps[1...3].map(\.prefillTokens) == [63, 63, 24])
        #expect(driver.steps[1...3].map(\.decodes) == [1, 1, 1])
    }

    @Test func thePrefillThresholdLeavesBudgetForTheNextPrompt() {
        var configuration = EngineConfiguration.small()
        configuration.longPrefillTokenThreshold = 20
        let driver = EngineDriver(configuration)
        driver.submit(1, prompt: 50, output: 1)
        driver.submit(2, prompt: 30, output: 1)
        #expect(driver.drain())
        #expect(driver.steps.map(\.prefillTokens) == [40, 30, 10])
        #expect(driver.finished == [2, 1])
    }

    @Test func withoutChunkingAPromptWaitsForAStepThatHoldsAllOfIt() {
        var configuration = EngineConfiguration.small()
        configuration.chunkedPrefill = false
        let driver = EngineDriver(configuration)
        driver.submit(1, prompt: 40, output: 2)
        driver.submit(2, prompt: 40, output: 1)
        driver.submit(3, prompt: 10, output: 1)
        driver.step()
        #expect(driver.admitted == [1], "3 would fit beside 1, but 2 is the head of the line")
        driver.step()
        #expect(driver.admitted == [1, 2, 3])
        #expect(driver.steps.map(\.prefillTokens) == [40, 50])
    }

    @Test func withoutChunkingTheBudgetGrowsToTheLongestRequest() {
        var configuration = EngineConfiguration.small()
        configuration.chunkedPrefill = false
        let driver = EngineDriver(configuration)
        driver.submit(1, prompt: 500, output: 2)
        driver.step()
        #expect(driver.steps[0].prefillTokens == 500)
    }

    @Test func noMoreThanTheMaximumRunsAtOnce() {
        let driver = EngineDriver(.small())
        for id in 1...10 { driver.submit(UInt64(id), prompt: 1, output: 2) }
        driver.step()
        #expect(driver.engine.load.running == 8)
        #expect(driver.engine.load.waiting == 2)
        #expect(driver.drain())
        #expect(driver.finished == (1...10).map { UInt64($0) })
    }

    @Test func aRequestThatFindsNoBlocksStopsTheLine() {
        let driver = EngineDriver(.small(kvBlocks: 4))
        driver.submit(1, prompt: 32, output: 8)
        driver.submit(2, prompt: 30, output: 1)
        driver.submit(3, prompt: 1, output: 1)
        driver.step()
        #expect(driver.admitted == [1, 2])
        #expect(driver.engine.load.kvBlocksUsed == 2)
        driver.step()
        #expect(driver.admitted == [1, 2, 3])
        #expect(driver.drain())

        let blocked = EngineDriver(.small(kvBlocks: 3))
        blocked.submit(1, prompt: 32, output: 8)
        blocked.submit(2, prompt: 30, output: 1)
        blocked.submit(3, prompt: 1, output: 1)
        blocked.step()
        #expect(blocked.admitted == [1], "a block is free and 3 would fit, but 2 is the head of the line")
    }

    @Test func anEarlyPromptCanStarveALaterDecodeOfItsBudget() {
        var configuration = EngineConfiguration.small()
        configuration.maxBatchedTokens = 4
        let driver = EngineDriver(configuration)
        driver.submit(1, prompt: 3, output: 9)
        driver.submit(2, prompt: 9, output: 2)
        driver.step()
        driver.submit(3, prompt: 1, output: 1)
        driver.step()
        #expect(driver.steps[1].decodes == 1)
        #expect(driver.steps[1].prefillTokens == 3, "running work comes before the waiting request")
        #expect(driver.admitted == [1, 2])
    }

    @Test func underPriorityTheUrgentWaitLessButNeverDisplaceARunningRequestFromAFullBatch() {
        var configuration = EngineConfiguration.small()
        configuration.policy = .priority
        configuration.maxSequences = 1
        let driver = EngineDriver(configuration)
        driver.submit(1, prompt: 1, output: 3, priority: 9)
        driver.step()
        driver.submit(2, prompt: 1, output: 1, priority: 5)
        driver.submit(3, prompt: 1, output: 1, priority: -1)
        driver.submit(4, prompt: 1, output: 1, priority: 5)
        #expect(driver.drain())
        #expect(driver.finished == [1, 3, 2, 4])
        #expect(driver.preempted.isEmpty)
    }

    @Test func firstComeFirstServedIgnoresPriority() {
        var configuration = EngineConfiguration.small()
        configuration.maxSequences = 1
        let driver = EngineDriver(configuration)
        driver.submit(1, prompt: 1, output: 1, priority: 9)
        driver.submit(2, prompt: 1, output: 1, priority: -9)
        #expect(driver.drain())
        #expect(driver.finished == [1, 2])
    }

    @Test func noiseSpreadsTheStepTimesAndTheSeedFixesThem() {
        var configuration = EngineConfiguration.small()
        configuration.stepNoiseSigma = 0.03
        func spans(seed: UInt64) -> [TimeSpan] {
            let driver = EngineDriver(configuration, seed: seed)
            driver.submit(1, prompt: 1, output: 400)
            #expect(driver.drain())
            return driver.spans
        }
        let logarithms = spans(seed: 3).dropFirst().map { naturalLogarithm($0.milliseconds / 1.1) }
        let mean = logarithms.reduce(0, +) / Double(logarithms.count)
        let variance = logarithms.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(logarithms.count)
        #expect(abs(mean) < 0.006)
        #expect(abs(variance.squareRoot() - 0.03) < 0.005)
        #expect(spans(seed: 3) == spans(seed: 3))
        #expect(spans(seed: 3) != spans(seed: 4))
    }
}
