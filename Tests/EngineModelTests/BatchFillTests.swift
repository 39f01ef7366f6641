import Basics
import EngineModel
import Testing

struct BatchFillTests {
    private func configuration(_ milliseconds: Double, kvBlocks: Int = 1000) -> EngineConfiguration {
        var configuration = EngineConfiguration.small(kvBlocks: kvBlocks)
        configuration.batchFill = BatchFill(stepMilliseconds: milliseconds)
        return configuration
    }

    @Test func batchPromptsFillTheStepUpToTheLimit() {
        let driver = EngineDriver(configuration(1.305))
        driver.submit(1, prompt: 100, output: 1, isBatch: true)
        driver.submit(2, prompt: 10, output: 1)
        driver.step()
        #expect(driver.admitted == [2, 1], "real-time work enters first, whatever came first")
        #expect(driver.steps[0].prefillTokens == 30)
    }

    @Test func runningBatchDecodesPauseWhileRealTimeWorkNeedsTheStep() {
        let driver = EngineDriver(configuration(1.35))
        for id in 1...3 { driver.submit(UInt64(id), prompt: 1, output: 4, isBatch: true) }
        driver.step()
        for id in 11...12 { driver.submit(UInt64(id), prompt: 1, output: 4) }
        driver.step()
        driver.step()
        #expect(driver.steps[2].decodes == 3, "two real-time decodes and one of three batch decodes fit 1.35 ms")
        #expect(driver.drain())
        #expect(driver.finished.count == 5)
        #expect(driver.preempted.isEmpty)
    }

    @Test func realTimeWorkIgnoresTheLimit() {
        let driver = EngineDriver(configuration(1.05))
        for id in 1...5 { driver.submit(UInt64(id), prompt: 1, output: 2) }
        driver.step()
        driver.step()
        #expect(driver.steps[1].decodes == 5)
    }

    @Test func realTimeWorkTakesTheBlocksAndTheSeatsOfBatchWork() {
        let driver = EngineDriver(configuration(50, kvBlocks: 4))
        driver.submit(1, prompt: 60, output: 2, isBatch: true)
        driver.step()
        driver.submit(2, prompt: 20, output: 2)
        driver.step()
        #expect(driver.preempted == [1])
        #expect(driver.drain())
        #expect(driver.finished == [2, 1])

        let seats = EngineDriver(configuration(50))
        for id in 1...8 { seats.submit(UInt64(id), prompt: 1, output: 5, isBatch: true) }
        seats.step()
        seats.submit(9, prompt: 1, output: 1)
        seats.step()
        #expect(seats.preempted == [8])
        #expect(seats.finished == [9])
    }

    @Test func batchWorkNeverTakesTheBlocksOfRealTimeWork() {
        let driver = EngineDriver(configuration(50, kvBlocks: 4))
        driver.submit(1, prompt: 31, output: 3)
        driver.submit(2, prompt: 31, output: 20, isBatch: true)
        driver.step()
        driver.step()
        driver.step()
        #expect(driver.preempted == [2])
        #expect(driver.drain())
        #expect(driver.finished == [1, 2])
    }

    @Test func aLimitBelowAnEmptyStepStarvesBatchWork() {
        let driver = EngineDriver(configuration(0.9))
        driver.submit(1, prompt: 10, output: 1, isBatch: true)
        #expect(!driver.step())
        #expect(driver.engine.load.waiting == 1)
    }
}
