import EngineModel
import Testing

struct PrefixCacheTests {
    private let prompt: [UInt64] = [11, 12, 13]

    @Test func aRepeatedPromptIsComputedOnlyBeyondItsFullBlocks() {
        let driver = EngineDriver(.small())
        driver.submit(1, prompt: 50, output: 1, hashes: prompt)
        #expect(driver.drain())
        driver.submit(2, prompt: 50, output: 1, hashes: prompt)
        #expect(driver.drain())
        #expect(driver.steps.map(\.prefillTokens) == [50, 2])
        #expect(driver.cachedTokens(of: 1) == 0)
        #expect(driver.cachedTokens(of: 2) == 48)
        #expect(driver.engine.load.prefixQueryTokens == 100)
        #expect(driver.engine.load.prefixHitTokens == 48)
    }

    @Test func atLeastOneTokenIsComputedAgain() {
        let driver = EngineDriver(.small())
        for id in 1...2 {
            driver.submit(UInt64(id), prompt: 48, output: 1, hashes: prompt)
            #expect(driver.drain())
        }
        #expect(driver.steps.map(\.prefillTokens) == [48, 16], "the last block is not taken from the cache")
    }

    @Test func onlyTheCommonBeginningIsShared() {
        let driver = EngineDriver(.small())
        driver.submit(1, prompt: 50, output: 1, hashes: prompt)
        #expect(driver.drain())
        driver.submit(2, prompt: 50, output: 1, hashes: [11, 99, 13])
        #expect(driver.drain())
        #expect(driver.cachedTokens(of: 2) == 16)
    }

    @Test func sharedBlocksAreCountedOnceAndKeptUntilTheLastHolderLeaves() {
        let driver = EngineDriver(.small())
        driver.submit(1, prompt: 50, output: 9, hashes: prompt)
        driver.step()
        driver.submit(2, prompt: 50, output: 9, hashes: prompt)
        driver.step()
        #expect(driver.engine.load.kvBlocksUsed == 5)
        driver.abort(1)
        #expect(driver.engine.load.kvBlocksUsed == 4)
        driver.abort(2)
        #expect(driver.engine.load.kvBlocksUsed == 0)
        driver.submit(3, prompt: 50, output: 1, hashes: prompt)
        #expect(driver.drain())
        #expect(driver.cachedTokens(of: 3) == 48, "blocks nobody holds stay findable")
    }

    @Test func theOldestUnheldBlocksAreEvictedFirstAndAPromptFromItsEnd() {
        let driver = EngineDriver(.small(kvBlocks: 7))
        driver.submit(1, prompt: 48, output: 1, hashes: prompt)
        #expect(driver.drain())
        driver.submit(2, prompt: 48, output: 1, hashes: [21, 22, 23])
        #expect(driver.drain())
        driver.submit(3, prompt: 40, output: 1)  // one block is free, two are evicted
        #expect(driver.drain())
        driver.submit(4, prompt: 49, output: 1, hashes: prompt)
        #expect(driver.drain())
        #expect(driver.cachedTokens(of: 4) == 16)
        driver.submit(5, prompt: 49, output: 1, hashes: [21, 22, 23])
        #expect(driver.drain())
        #expect(driver.cachedTokens(of: 5) == 48)
    }

    @Test func cachedBlocksMakeRoomWhereThePromptWouldNotFit() {
        let driver = EngineDriver(.small(kvBlocks: 6))
        driver.submit(1, prompt: 50, output: 9, hashes: prompt)
        driver.step()
        driver.submit(2, prompt: 50, output: 9, hashes: prompt)
        driver.step()
        #expect(driver.admitted == [1, 2], "two alone need eight blocks, shared they need five")
    }

    @Test func aPreemptedRequestFindsItsPromptAgain() {
        var configuration = EngineConfiguration.small(kvBlocks: 6)
        configuration.maxBatchedTokens = 200
        let driver = EngineDriver(configuration)
        driver.submit(1, prompt: 47, output: 3, hashes: [1, 2])
        driver.submit(2, prompt: 40, output: 12, hashes: [5, 6])
        #expect(driver.drain())
        #expect(driver.preempted == [2])
        #expect(driver.cachedTokens(of: 2) == 0, "what counts is the first admission")
        #expect(driver.steps.reduce(0) { $0 + $1.prefillTokens } < 47 + 40 + 40)
    }

    @Test func withoutPrefixCachingNothingIsShared() {
        var configuration = EngineConfiguration.small()
        configuration.prefixCaching = false
        let driver = EngineDriver(configuration)
        for id in 1...2 {
            driver.submit(UInt64(id), prompt: 50, output: 1, hashes: prompt)
            #expect(driver.drain())
        }
        #expect(driver.steps.map(\.prefillTokens) == [50, 50])
        #expect(driver.engine.load.prefixQueryTokens == 0)
    }
}
