import Basics
import Testing

@testable import Prediction

private let constants = StepConstants(base: 10, decode: 0.02, context: 1e-5, token: 0.03, attention: 1e-6)

/// A learner that believes in 2,048 tokens sees prompts computed by an engine whose steps hold `budget`, other requests
/// decoding beside.
private func learned(
    budget: Double, prompts: ClosedRange<Double>, noise: Double = 0.04, coalesced: Double = 0, count: Int = 200
) -> Double {
    var learner = StepBudgetLearner(tokens: 2048)
    var generator = SeededGenerator(seed: 5)
    for _ in 0..<count {
        let tokens = (prompts.lowerBound + generator.unit() * (prompts.upperBound - prompts.lowerBound)).rounded()
        var longest = 0.0
        var done = 0.0
        while done < tokens {
            let part = min(budget - 20, tokens - done)
            let step = 10.4 + 0.5 + 0.03 * part + 1e-6 * part * (done + part / 2)
            longest = max(longest, step * exponential(noise * standardNormal(using: &generator)))
            done += part
        }
        if generator.unit() < coalesced { longest *= 2 }
        _ = learner.observe(
            gap: longest, decodes: 20, contextTokens: 50_000,
            prompt: StepBudgetLearner.Prompt(sent: .zero, uncachedTokens: tokens, tokens: tokens),
            constants: constants)
    }
    return learner.tokens
}

@Test(arguments: [512.0, 1024, 4096, 8192, 16384])
func theStepBudgetIsLearnedFromTheLongestSteps(budget: Double) {
    #expect(learned(budget: budget, prompts: 2 * budget...10 * budget) == budget)
}

@Test func aBudgetBetweenPowersOfTwoIsTakenAsItIs() {
    #expect((2800...3300).contains(learned(budget: 3000, prompts: 6000...30_000)))
}

@Test func aBudgetThatIsRightIsKept() {
    #expect(learned(budget: 2048, prompts: 500...60_000, noise: 0.08) == 2048)
}

@Test func gapsThatTheNetworkStretchesAreOutvoted() {
    #expect(learned(budget: 8192, prompts: 10_000...60_000, coalesced: 0.3) == 8192)
}

@Test func promptsThatFitInOneStepSayNothing() {
    #expect(learned(budget: 65_536, prompts: 100...40_000) == 2048)
}

@Test func aBudgetIsNotJudgedByAFewSteps() {
    #expect(learned(budget: 8192, prompts: 20_000...60_000, count: 30) == 2048)
}

@Test func nonsenseTeachesNoBudget() {
    var learner = StepBudgetLearner(tokens: 2048)
    let prompt = StepBudgetLearner.Prompt(sent: .zero, uncachedTokens: 1e9, tokens: 1e9)
    for gap in [Double.nan, .infinity, -1, 0, 1e300] {
        for _ in 0..<50 {
            let isOther = learner.observe(
                gap: gap, decodes: 0, contextTokens: 0, prompt: prompt, constants: constants)
            #expect(!isOther)
        }
    }
    #expect(learner.tokens == 2048)
}
