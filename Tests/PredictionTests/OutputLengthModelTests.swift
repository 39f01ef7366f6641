import Basics
import Testing

@testable import Prediction

@Test func aFlowWithoutAnswersIsExpectedToBeLikeItsModel() {
    var lengths = OutputLengthModel()
    #expect(lengths.expectedTokens(flow: "a", model: "m", maxTokens: nil) == 512)
    for _ in 0..<100 {
        lengths.observe(outputTokens: 100, flow: "a", model: "m")
        lengths.observe(outputTokens: 900, flow: "a", model: "n")
    }
    #expect(lengths.expectedTokens(flow: "b", model: "m", maxTokens: nil) == 100)
    #expect(lengths.expectedTokens(flow: "b", model: "n", maxTokens: nil) == 900)
    #expect((100...900).contains(lengths.expectedTokens(flow: "b", model: "other", maxTokens: nil)))
}

@Test func limitsAreRespected() {
    var lengths = OutputLengthModel()
    for _ in 0..<50 { lengths.observe(outputTokens: 400, flow: "a", model: "m") }
    #expect(lengths.expectedTokens(flow: "a", model: "m", maxTokens: 64) == 64)
    #expect(lengths.quantileTokens(flow: "a", model: "m", maxTokens: 0) == 1)
    #expect(lengths.expectedTokens(flow: "a", model: "m", maxTokens: -7) == 1)
}

@Test func meanAndQuantileFollowTheDistribution() {
    var lengths = OutputLengthModel(quantile: 0.8)
    var generator = SeededGenerator(seed: 4)
    for _ in 0..<5000 {
        lengths.observe(outputTokens: Int(generator.unit() * 1000), flow: "a", model: "m")
    }
    #expect((400...600).contains(lengths.expectedTokens(flow: "a", model: "m", maxTokens: nil)))
    #expect((700...900).contains(lengths.quantileTokens(flow: "a", model: "m", maxTokens: nil)))
}

@Test func oneLongAnswerMovesTheEstimateLittle() {
    var lengths = OutputLengthModel()
    for _ in 0..<200 { lengths.observe(outputTokens: 100, flow: "a", model: "m") }
    lengths.observe(outputTokens: .max, flow: "a", model: "m")
    #expect(lengths.expectedTokens(flow: "a", model: "m", maxTokens: nil) <= 120)
    #expect(lengths.quantileTokens(flow: "a", model: "m", maxTokens: nil) <= 120)
}

@Test func theFlowThatWasSilentLongestIsForgotten() {
    var lengths = OutputLengthModel(mostFlows: 3)
    for flow in ["a", "b", "c"] {
        for _ in 0..<100 { lengths.observe(outputTokens: flow == "b" ? 1000 : 10, flow: flow, model: "m") }
    }
    lengths.observe(outputTokens: 10, flow: "a", model: "m")
    for _ in 0..<200 { lengths.observe(outputTokens: 10, flow: "d", model: "m") }
    #expect(lengths.rememberedFlows == 3)
    #expect(lengths.expectedTokens(flow: "b", model: "m", maxTokens: nil) < 100)
    for flow in 0..<1000 { lengths.observe(outputTokens: 10, flow: "\(flow)", model: "\(flow)") }
    #expect(lengths.rememberedFlows == 3)
}
