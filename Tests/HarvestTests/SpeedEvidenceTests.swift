import Basics
import Harvest
import Pool
import Testing

private let model = StepTimeModel(
    baseMilliseconds: 6.86, perDecodeMilliseconds: 0.022, perContextTokenMilliseconds: 5.5e-5,
    perPrefillTokenMilliseconds: 0.0202)

@Suite struct SpeedEvidenceTests {
    /// Counts answers that came `ratio` times sooner than decoding alone should have taken.
    private func observe(_ evidence: inout SpeedEvidence, ratio: Double, tokens: Int = 16, times: Int) {
        let residence = TimeSpan.milliseconds(Double(tokens) * model.baseMilliseconds / ratio)
        for _ in 0..<times { evidence.observe(outputTokens: tokens, residence: residence, configured: model) }
    }

    @Test func withoutProofTheConstantsHold() {
        var evidence = SpeedEvidence()
        #expect(evidence.factor == 1)
        observe(&evidence, ratio: 0.99, times: 10_000)
        #expect(evidence.factor == 1)
    }

    @Test(arguments: [1.5, 2, 3, 3.8])
    func whatSpeculativeDecodingCanExplainChangesNothing(ratio: Double) {
        var evidence = SpeedEvidence()
        observe(&evidence, ratio: ratio, times: 10_000)
        #expect(evidence.factor == 1)
    }

    @Test(arguments: [10.0, 50, 500])
    func answersThatComeTooSoonAreProofOfAFasterEngine(ratio: Double) {
        var evidence = SpeedEvidence()
        observe(&evidence, ratio: ratio, times: 500)
        // The lower quartile of equal observations lies just below them.
        #expect((0.6 * ratio - 3...1.05 * ratio).contains(evidence.factor))
    }

    @Test func shortAnswersTeachNothing() {
        var evidence = SpeedEvidence()
        observe(&evidence, ratio: 1000, tokens: 7, times: 1000)
        #expect(evidence.factor == 1)
        observe(&evidence, ratio: 1000, tokens: 8, times: 100)
        #expect(evidence.factor > 1)
    }

    @Test func someAnswersFromACacheOfAnswersTeachNothing() {
        var evidence = SpeedEvidence()
        var generator = SeededGenerator(seed: 4)
        var highest = 1.0
        for _ in 0..<20_000 {
            let isCached = Double.random(in: 0..<1, using: &generator) < 0.4
            observe(&evidence, ratio: isCached ? 5000 : 0.8, times: 1)
            highest = max(highest, evidence.factor)
        }
        #expect(highest == 1)
    }

    @Test func aStallIsForgivenAndARealChangeBelievedWithinTwentyAnswers() {
        var evidence = SpeedEvidence()
        observe(&evidence, ratio: 60, times: 500)
        observe(&evidence, ratio: 0.5, times: 3)
        #expect(evidence.factor > 15)
        observe(&evidence, ratio: 0.5, times: 17)
        #expect(evidence.factor == 1)
    }

    @Test(arguments: [0, -5, Int64.min / 4])
    func anImpossibleResidenceOrCountStaysWithinBounds(nanoseconds: Int64) {
        var evidence = SpeedEvidence()
        for _ in 0..<2000 {
            evidence.observe(
                outputTokens: 1 << 30, residence: TimeSpan(nanoseconds: nanoseconds), configured: model)
        }
        #expect((5000...10_500).contains(evidence.factor))
    }

    @Test func forgottenEvidenceHasToBeGivenAnew() {
        var evidence = SpeedEvidence()
        observe(&evidence, ratio: 60, times: 500)
        evidence.forget()
        #expect(evidence.factor == 1)
        observe(&evidence, ratio: 60, times: 10)
        #expect(evidence.factor == 1)
    }

    @Test func aFasterEngineIsFasterInEverything() {
        let faster = model.faster(by: 2)
        let step = faster.stepMilliseconds(decodes: 10, contextTokens: 1000, prefillTokens: 100)
        let configured = model.stepMilliseconds(decodes: 10, contextTokens: 1000, prefillTokens: 100)
        #expect(abs(step - configured / 2) < 1e-9)
        #expect(model.faster(by: 1) == model)
    }

    @Test func aProvenEndpointWithNothingInFlightIsGivenOneWhateverItsBucketSays() {
        var harvest = HarvestController(configuration: .init(), now: .zero)
        let message = RequestDemand(promptTokens: 250, expectedOutputTokens: 16)
        let endpoint = Endpoint(
            name: "a", capacity: .init(stepTime: model, kvTokens: nil, maxConcurrentRequests: 256))
        for _ in 0..<25 { harvest.batchPlaced(message, now: .zero) }
        #expect(harvest.judge(message, on: endpoint, oldestSilence: .zero, now: .zero).limit == .prefill)
        harvest.speedFactor = 20
        #expect(harvest.judge(message, on: endpoint, oldestSilence: .zero, now: .zero).limit == nil)
        var busy = endpoint
        busy.load.reserve(message, .sheddable)
        #expect(harvest.judge(message, on: busy, oldestSilence: .zero, now: .zero).limit == .prefill)
    }
}
