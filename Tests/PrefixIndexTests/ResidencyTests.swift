import Basics
import Testing

@testable import PrefixIndex

/// Learning from `cached_tokens` what an engine keeps.
@Suite struct ResidencyTests {
    /// An engine that keeps the last `capacityTokens` and a router that predicts, in a world of conversations: each turn
    /// one of them, the recent ones more often, sends its prompt again with two more blocks.
    struct World {
        var index = PrefixIndex()
        var engine = PrefixIndex()
        var generator: SeededGenerator
        var conversations: [[UInt64]] = []
        var reports = true
        var errorSum = 0.0
        var promptSum = 0.0

        init(seed: UInt64, capacity: Int?) {
            generator = SeededGenerator(seed: seed)
            engine.setCapacity(capacity, endpoint: 0)
        }

        mutating func turn() {
            if conversations.count < 20 || generator.unit() < 0.1 {
                let length = Int.random(in: 10...60, using: &generator)
                conversations.append((0..<length).map { _ in generator.next() })
            }
            let back = Int(-naturalLogarithm(1 - generator.unit()) * 12)
            let place = max(0, conversations.count - 1 - back)
            conversations[place] += [generator.next(), generator.next()]
            let prompt = conversations[place]
            if prompt.count > 120 { conversations.remove(at: place) }
            var predicted: [Int32] = [0]
            var actual: [Int32] = [0]
            index.match(prompt, into: &predicted)
            engine.match(prompt, into: &actual)
            let predictedTokens = Int(predicted[0]) * 64
            let cachedTokens = Int(actual[0]) * 64
            errorSum += Double(abs(index.calibratedTokens(predictedTokens, endpoint: 0) - cachedTokens))
            promptSum += Double(prompt.count * 64)
            let age = index.insert(prompt, endpoint: 0, tokensPerBlock: 64)
            engine.insert(prompt, endpoint: 0, tokensPerBlock: 64)
            index.observe(
                endpoint: 0, predictedTokens: predictedTokens, ageShare: age,
                cachedTokens: reports ? cachedTokens : nil, promptTokens: prompt.count * 64)
        }

        /// The mean error of the predictions over so many turns, as a share of the prompts.
        mutating func error(turns: Int) -> Double {
            errorSum = 0
            promptSum = 0
            for _ in 0..<turns { turn() }
            return errorSum / promptSum
        }
    }

    @Test(arguments: [nil, 3000, 12_500, 100_000] as [Int?], [1, 2] as [UInt64])
    func theCapacityIsLearnedFromAnyBeginning(told: Int?, seed: UInt64) throws {
        var world = World(seed: seed, capacity: 25_000)
        world.index.setCapacity(told, endpoint: 0)
        _ = world.error(turns: 1500)
        let learned = try #require(world.index.capacityTokens(endpoint: 0))
        #expect((17_500...35_000).contains(learned), "learned \(learned)")
        let error = world.error(turns: 500)
        #expect(error < 0.05, "error \(error)")
    }

    @Test(arguments: [100_000, nil] as [Int?])
    func anEngineWithoutACacheIsPredictedToHaveNothing(told: Int?) {
        var world = World(seed: 5, capacity: 0)
        world.index.setCapacity(told, endpoint: 0)
        _ = world.error(turns: 300)
        #expect(world.error(turns: 300) < 0.01)
        #expect(world.index.calibratedTokens(10_000, endpoint: 0) < 1000)
        // When its cache is switched on, that is noticed.
        world.engine.setCapacity(25_000, endpoint: 0)
        _ = world.error(turns: 1500)
        #expect(world.error(turns: 300) < 0.1)
    }

    @Test func enginesThatDoNotReportLeaveItAlone() {
        var world = World(seed: 6, capacity: 10_000)
        world.reports = false
        world.index.setCapacity(200_000, endpoint: 0)
        for _ in 0..<300 { world.turn() }
        #expect(world.index.capacityTokens(endpoint: 0) == 200_000)
        #expect(world.index.calibratedTokens(5000, endpoint: 0) == 5000)
    }

    @Test func whatIsBeingComputedIsNoSignOfASmallCache() {
        var index = PrefixIndex()
        index.setCapacity(100_000, endpoint: 0)
        let prompts = (0..<50 as Range<UInt64>).map { base in (0..<30).map { base * 100 + $0 } }
        for prompt in prompts { index.insert(prompt, endpoint: 0, tokensPerBlock: 64) }
        for _ in 0..<100 {
            // The same prompt again at once: the engine has not computed it yet.
            let age = index.insert(prompts[49], endpoint: 0, tokensPerBlock: 64)
            index.observe(
                endpoint: 0, predictedTokens: 30 * 64, ageShare: age, cachedTokens: 0, promptTokens: 30 * 64)
        }
        #expect(index.capacityTokens(endpoint: 0) == 100_000)
    }

    @Test func calibrationIsTheRecentRatio() {
        var index = PrefixIndex()
        for _ in 0..<200 {
            index.observe(endpoint: 0, predictedTokens: 1000, ageShare: 0, cachedTokens: 750, promptTokens: 2000)
        }
        #expect(index.calibratedTokens(1000, endpoint: 0) == 750)
        for _ in 0..<200 {
            index.observe(endpoint: 0, predictedTokens: 1000, cachedTokens: 2000, promptTokens: 2000)
        }
        #expect(index.calibratedTokens(1000, endpoint: 0) == 1250)
        #expect(index.calibratedTokens(1000, endpoint: 1) == 1000)
    }

    @Test func aMissingCountIsAZeroOnceCountsAreReported() {
        var index = PrefixIndex()
        index.observe(endpoint: 0, predictedTokens: 4096, ageShare: 0, cachedTokens: nil, promptTokens: 8192)
        #expect(index.calibratedTokens(1000, endpoint: 0) == 1000)
        index.observe(endpoint: 0, predictedTokens: 4096, ageShare: 0, cachedTokens: 4096, promptTokens: 8192)
        index.observe(endpoint: 0, predictedTokens: 4096, ageShare: 0, cachedTokens: nil, promptTokens: 8192)
        // (4096 * 0.9 + 4096) * 0.9 over the same and 4096.
        let sum = (4096 * 0.9 + 4096) * 0.9
        #expect(index.calibratedTokens(1000, endpoint: 0) == Int(1000 * sum / (sum + 4096)))
    }
}
