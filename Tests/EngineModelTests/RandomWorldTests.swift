import Basics
import EngineModel
import Testing

/// Engines with random settings under random loads.
struct RandomWorldTests {
    @Test(arguments: 0..<60)
    func invariantsHold(seed: Int) {
        var world = World(seed: UInt64(seed))
        world.run()
    }

    @Test(arguments: [3, 14, 15])
    func theSameSeedGivesTheSameEvents(seed: Int) {
        var first = World(seed: UInt64(seed))
        var second = World(seed: UInt64(seed))
        first.run()
        second.run()
        #expect(!first.driver.events.isEmpty)
        #expect(first.driver.events == second.driver.events)
        #expect(first.driver.spans == second.driver.spans)
    }
}

private struct World {
    private struct Account {
        var request: EngineRequest
        var tokens = 0
        var isRunning = false
        var isDone = false
        var isAborted = false
    }

    let driver: EngineDriver
    private var generator: SeededGenerator
    private var accounts: [UInt64: Account] = [:]
    private var nextID: UInt64 = 0
    private var seenEvents = 0
    private var live = 0
    private var aborts = 0
    private let configuration: EngineConfiguration

    init(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        var configuration = EngineConfiguration.small(kvBlocks: Int.random(in: 8...80, using: &generator))
        configuration.blockSizeTokens = [4, 16].randomElement(using: &generator) ?? 16
        configuration.maxSequences = Int.random(in: 1...20, using: &generator)
        configuration.maxBatchedTokens = Int.random(in: 4...120, using: &generator)
        configuration.longPrefillTokenThreshold = Bool.random(using: &generator) ? 0 : 13
        configuration.policy = Bool.random(using: &generator) ? .priority : .firstComeFirstServed
        configuration.prefixCaching = Bool.random(using: &generator)
        configuration.chunkedPrefill = Bool.random(using: &generator)
        configuration.stepNoiseSigma = Bool.random(using: &generator) ? 0 : 0.03
        // Above the time of any single request's step, so that batch work always gets on.
        configuration.batchFill = Int.random(in: 0..<3, using: &generator) == 0 ? BatchFill(stepMilliseconds: 8) : nil
        self.configuration = configuration
        driver = EngineDriver(configuration, seed: seed, emitsEveryToken: true)
        self.generator = generator
    }

    mutating func run() {
        for _ in 0..<200 {
            for _ in 0..<Int.random(in: 0...2, using: &generator) where Int.random(in: 0..<3, using: &generator) == 0 {
                submit()
            }
            if Int.random(in: 0..<12, using: &generator) == 0 { abortOne() }
            step(disturbed: Int.random(in: 0..<6, using: &generator) == 0)
        }
        var steps = 0
        while step(disturbed: false), steps < 100_000 { steps += 1 }
        #expect(driver.engine.isIdle, "everything ends")
        let load = driver.engine.load
        #expect(load.kvBlocksUsed == 0 && load.running == 0 && load.waiting == 0)
        for account in accounts.values {
            #expect(account.isDone != account.isAborted, "finished once or aborted")
            if account.isDone { #expect(account.tokens == account.request.outputTokens) }
        }
        #expect(load.generationTokens == accounts.values.reduce(0) { $0 + $1.tokens })
        // An abort takes the report of a preemption in the same step with it.
        #expect(load.preemptions >= driver.preempted.count && load.preemptions <= driver.preempted.count + aborts)
    }

    private mutating func submit() {
        nextID += 1
        let blockSize = configuration.blockSizeTokens
        let prompt = Int.random(in: 1...(configuration.kvTokens / 2), using: &generator)
        // Few different prompts, equal up to a random block.
        let family = UInt64.random(in: 1...3, using: &generator)
        let common = Int.random(in: 0...(prompt / blockSize), using: &generator)
        let hashes = (0..<(prompt / blockSize)).map { block in
            block < common ? family << 32 + UInt64(block) : nextID << 40 + UInt64(block)
        }
        let request = EngineRequest(
            id: nextID, promptTokens: prompt,
            outputTokens: Int.random(in: 1...(configuration.kvTokens / 2), using: &generator),
            priority: Int.random(in: -1...1, using: &generator), isBatch: Bool.random(using: &generator),
            promptBlockHashes: hashes)
        #expect(driver.submit(request))
        live += 1
        accounts[nextID] = Account(request: request)
    }

    private mutating func abortOne() {
        guard nextID > 0 else { return }
        let id = UInt64.random(in: 1...nextID, using: &generator)
        let isInside = accounts[id].map { !$0.isDone && !$0.isAborted } ?? false
        #expect(driver.abort(id) == isInside)
        if isInside {
            live -= 1
            aborts += 1
            accounts[id]?.isAborted = true
            accounts[id]?.isRunning = false
        }
    }

    /// One step, with submissions and aborts in its middle if `disturbed`.
    @discardableResult
    private mutating func step(disturbed: Bool) -> Bool {
        guard let span = driver.begin() else { return false }
        let contents = driver.engine.step
        driver.spans.append(span)
        if configuration.chunkedPrefill { #expect(contents.tokens <= configuration.maxBatchedTokens) }
        #expect(contents.tokens > 0)
        checkLoad()
        if disturbed {
            abortOne()
            submit()
            abortOne()
            checkLoad()
        }
        driver.finish(after: span)
        account()
        checkLoad()
        return true
    }

    private func checkLoad() {
        let load = driver.engine.load
        #expect(load.kvBlocksUsed >= 0 && load.kvBlocksUsed <= configuration.kvBlocks)
        #expect(load.running <= configuration.maxSequences)
        #expect(load.running + load.waiting == live)
    }

    private mutating func account() {
        for event in driver.events[seenEvents...] {
            switch event {
            case .admitted(let id, let waited):
                #expect(accounts[id]?.isRunning == false && waited >= .zero)
                accounts[id]?.isRunning = true
            case .preempted(let id):
                accounts[id]?.isRunning = false
            case .firstToken(let id):
                #expect(accounts[id]?.tokens == 0)
                accounts[id]?.tokens += 1
            case .token(let id):
                accounts[id]?.tokens += 1
            case .finished(let id, let promptTokens, let cachedTokens, let outputTokens):
                #expect(accounts[id]?.isDone == false && accounts[id]?.isAborted == false)
                #expect(promptTokens == accounts[id]?.request.promptTokens && cachedTokens < promptTokens)
                #expect(outputTokens == accounts[id]?.tokens)
                accounts[id]?.isDone = true
                live -= 1
            }
        }
        seenEvents = driver.events.count
    }
}
