import Basics
import Prediction
import Testing

private let generic = StepTimeModel(
    baseMilliseconds: 6.86, perDecodeMilliseconds: 0.022, perContextTokenMilliseconds: 5.5e-5,
    perPrefillTokenMilliseconds: 0.0202)

/// Stretches of an engine with these constants under changing load, with relative noise.
private struct SyntheticEngine {
    var truth: StepTimeModel
    var generator: SeededGenerator
    var noise = 0.05

    init(_ truth: StepTimeModel, seed: UInt64) {
        self.truth = truth
        generator = SeededGenerator(seed: seed)
    }

    mutating func sample() -> StepSample {
        let decodes = Double.random(in: 1...100, using: &generator)
        let context = decodes * Double.random(in: 600...3000, using: &generator)
        let steps = Double.random(in: 16...64, using: &generator).rounded()
        let prefill = Double.random(in: 0...1500, using: &generator) * steps
        let step =
            truth.baseMilliseconds + truth.perDecodeMilliseconds * decodes
            + truth.perContextTokenMilliseconds * context + truth.perPrefillTokenMilliseconds * prefill / steps
        return StepSample(
            steps: steps, milliseconds: steps * step * (1 + noise * standardNormal(using: &generator)),
            decodes: decodes, contextTokens: context, prefillTokens: prefill)
    }
}

@Suite struct StepTimeLearnerTests {
    private func isClose(_ value: Double, _ truth: Double, within share: Double) -> Bool {
        abs(value / truth - 1) <= share
    }

    @Test(
        arguments: [
            // As believed; everything four times as slow and as fast; a 70B model on four H100; parts off in opposite ways.
            generic,
            StepTimeModel(
                baseMilliseconds: 27.4, perDecodeMilliseconds: 0.088, perContextTokenMilliseconds: 2.2e-4,
                perPrefillTokenMilliseconds: 0.081),
            StepTimeModel(
                baseMilliseconds: 1.7, perDecodeMilliseconds: 0.0055, perContextTokenMilliseconds: 1.4e-5,
                perPrefillTokenMilliseconds: 0.005),
            StepTimeModel(
                baseMilliseconds: 18.5, perDecodeMilliseconds: 0.02, perContextTokenMilliseconds: 3.5e-5,
                perPrefillTokenMilliseconds: 0.066),
            StepTimeModel(
                baseMilliseconds: 27, perDecodeMilliseconds: 0.088, perContextTokenMilliseconds: 1.4e-5,
                perPrefillTokenMilliseconds: 0.08),
        ])
    func theConstantsAreFoundFromAPriorThatIsFarOff(truth: StepTimeModel) {
        var learner = StepTimeLearner(prior: generic)
        var engine = SyntheticEngine(truth, seed: 5)
        for _ in 0..<3000 { learner.observe(engine.sample()) }
        #expect(isClose(learner.model.baseMilliseconds, truth.baseMilliseconds, within: 0.08))
        #expect(isClose(learner.model.perPrefillTokenMilliseconds, truth.perPrefillTokenMilliseconds, within: 0.05))
        // Requests and their contexts come together: only their joint effect is well determined.
        let step = learner.model.stepMilliseconds(decodes: 60, contextTokens: 108_000, prefillTokens: 0)
        #expect(
            isClose(step, truth.stepMilliseconds(decodes: 60, contextTokens: 108_000, prefillTokens: 0), within: 0.03))
    }

    /// A model on a processor: steps as long as a GPU's, but a token in them costs forty times as much. Few prompts come
    /// while others answer, and each makes its stretch several times as long as the rest.
    @Test(arguments: [1, 2, 3] as [UInt64]) func rarePromptsThatCostFarMoreThanBelievedAreNotTakenForAccidents(
        seed: UInt64
    ) {
        var learner = StepTimeLearner(prior: generic)
        var generator = SeededGenerator(seed: seed)
        for _ in 0..<200 {
            let decodes = Double.random(in: 1...3, using: &generator).rounded()
            let prompt = generator.unit() < 0.15 ? Double.random(in: 40...1200, using: &generator) : 0
            let noise = 1 + 0.1 * standardNormal(using: &generator)
            learner.observe(
                StepSample(
                    steps: 16, milliseconds: noise * 16 * (10 + 1.05 * decodes) + 0.85 * prompt, decodes: decodes,
                    contextTokens: decodes * 300, prefillTokens: prompt))
        }
        #expect(isClose(learner.model.perPrefillTokenMilliseconds, 0.85, within: 0.15))
        #expect(
            isClose(learner.model.stepMilliseconds(decodes: 2, contextTokens: 600, prefillTokens: 0), 12.1, within: 0.1)
        )
    }

    @Test func anotherEngineBehindTheAddressIsBelievedWithinAHundredSamples() {
        var learner = StepTimeLearner(prior: generic)
        var engine = SyntheticEngine(generic, seed: 6)
        for _ in 0..<2000 { learner.observe(engine.sample()) }
        engine.truth = StepTimeModel(
            baseMilliseconds: 27.4, perDecodeMilliseconds: 0.088, perContextTokenMilliseconds: 2.2e-4,
            perPrefillTokenMilliseconds: 0.081)
        for _ in 0..<100 { learner.observe(engine.sample()) }
        let step = learner.model.stepMilliseconds(decodes: 50, contextTokens: 90_000, prefillTokens: 700)
        let truth = engine.truth.stepMilliseconds(decodes: 50, contextTokens: 90_000, prefillTokens: 700)
        #expect(isClose(step, truth, within: 0.15))
    }

    @Test func anInstantEngineIsBelievedWithinAHundredAndFiftySamples() {
        var learner = StepTimeLearner(prior: generic)
        for _ in 0..<150 {
            learner.observe(
                StepSample(steps: 16, milliseconds: 1, decodes: 10, contextTokens: 2580, prefillTokens: 2500))
        }
        #expect(learner.model.stepMilliseconds(decodes: 10, contextTokens: 2580, prefillTokens: 160) < 0.3)
        #expect(learner.speedFactor > 20)
    }

    @Test func strangeSamplesInTheMinorityChangeNothing() {
        var learner = StepTimeLearner(prior: generic)
        var engine = SyntheticEngine(generic, seed: 7)
        for _ in 0..<1000 { learner.observe(engine.sample()) }
        for index in 0..<3000 {
            var sample = engine.sample()
            // Every fourth answer comes from a cache of answers, now and then a stall.
            if index % 4 == 0 { sample.milliseconds /= 1000 }
            if index % 17 == 0 { sample.milliseconds *= 50 }
            learner.observe(sample)
            #expect(isClose(learner.model.baseMilliseconds, generic.baseMilliseconds, within: 0.2))
        }
    }

    @Test(
        arguments: [
            StepSample(steps: 7, milliseconds: 1, decodes: 1, contextTokens: 1, prefillTokens: 0),
            StepSample(steps: .nan, milliseconds: 1, decodes: 1, contextTokens: 1, prefillTokens: 0),
            StepSample(steps: .infinity, milliseconds: 1, decodes: 1, contextTokens: 1, prefillTokens: 0),
            StepSample(steps: 16, milliseconds: .nan, decodes: 1, contextTokens: 1, prefillTokens: 0),
            StepSample(steps: 16, milliseconds: 1, decodes: -1, contextTokens: 1, prefillTokens: 0),
            StepSample(steps: 16, milliseconds: 1, decodes: 1, contextTokens: .infinity, prefillTokens: 0),
            StepSample(steps: 16, milliseconds: 1, decodes: 1, contextTokens: 1, prefillTokens: .nan),
        ])
    func whatCannotBeTrueIsIgnored(sample: StepSample) {
        var learner = StepTimeLearner(prior: generic)
        for _ in 0..<1000 { learner.observe(sample) }
        #expect(learner.model == generic)
    }

    @Test(arguments: [-1e300, 0, 1e-300, 1e300])
    func whateverAServerClaimsTheBeliefStaysWithinBounds(milliseconds: Double) {
        var learner = StepTimeLearner(prior: generic)
        for index in 0..<5000 {
            learner.observe(
                StepSample(
                    steps: index % 2 == 0 ? 1e9 : 8, milliseconds: milliseconds, decodes: 1, contextTokens: 1000,
                    prefillTokens: 0))
            for value in [
                learner.model.baseMilliseconds, learner.model.perDecodeMilliseconds,
                learner.model.perContextTokenMilliseconds, learner.model.perPrefillTokenMilliseconds,
            ] {
                #expect(value.isFinite && value > 0)
            }
            #expect((1e-5...1e5).contains(learner.model.baseMilliseconds / generic.baseMilliseconds))
        }
    }

    @Test func aRestartBelievesThePriorAgain() {
        var learner = StepTimeLearner(prior: generic)
        for _ in 0..<500 {
            learner.observe(
                StepSample(steps: 16, milliseconds: 1, decodes: 1, contextTokens: 258, prefillTokens: 250))
        }
        #expect(learner.model != generic)
        learner.restart(prior: generic)
        #expect(learner.model == generic && learner.fittedSamples == 0)
    }
}

@Test func theCostOfAttentionIsLearnedWhereItIsAskedFor() {
    let prior = StepTimeModel(
        baseMilliseconds: 10, perDecodeMilliseconds: 0.02, perContextTokenMilliseconds: 3e-5,
        perPrefillTokenMilliseconds: 0.03)
    var learner = StepTimeLearner(prior: prior, attentionMilliseconds: 1e-6)
    var blind = StepTimeLearner(prior: prior)
    var generator = SeededGenerator(seed: 5)
    for _ in 0..<2000 {
        let (decodes, context) = (generator.unit() * 100, generator.unit() * 400_000)
        let (tokens, attention) = (generator.unit() * 30_000, generator.unit() * 4e8)
        let sample = StepSample(
            steps: 16,
            milliseconds: 16 * (7 + 0.022 * decodes + 1.4e-5 * context) + 0.036 * tokens + 5.5e-7 * attention,
            decodes: decodes, contextTokens: context, prefillTokens: tokens, attention: attention)
        learner.observe(sample)
        blind.observe(sample)
    }
    #expect(abs(learner.attentionMilliseconds / 5.5e-7 - 1) < 0.02)
    #expect(abs(learner.model.perPrefillTokenMilliseconds / 0.036 - 1) < 0.02)
    #expect(blind.attentionMilliseconds == 0)
    learner.doubt()
    #expect(abs(learner.attentionMilliseconds / 5.5e-7 - 1) < 0.02)
}
