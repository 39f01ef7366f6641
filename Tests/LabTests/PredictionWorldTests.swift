import Basics
import Testing

@testable import Lab

@Test func predictionsMeetTheirBarsAtTheMedianLoad() throws {
    let findings = try PredictionWorld.run(load: .median, seed: 1, requests: 6000)
    #expect(findings.ttft.count == 5000)
    #expect(findings.ttft.meanAbsolutePercentageError <= 0.12)
    #expect((0.88...0.92).contains(findings.ttft.p90Coverage))
    #expect((0.03...0.07).contains(findings.staleShare))
}

@Test func predictionsRecoverFromASwapOfEnginesWithinAMinute() throws {
    let findings = try PredictionWorld.run(load: .light, seed: 1, requests: 6000, swapsTo: "llama-70b-h100x4")
    let swap = try #require(findings.swap)
    #expect(swap.atOnce > swap.before)
    #expect(try #require(swap.recoverySeconds) <= 60)
}

@Test func aSlowerEngineThatIsSaturatedAtOnceIsKnownWithinAMinute() throws {
    let findings = try PredictionWorld.run(load: .median, seed: 104, swapsTo: "llama-70b-h100x4")
    #expect(try #require(findings.swap?.recoverySeconds) <= 30)
}

@Test(arguments: [512, 8192]) func stepsOfAnotherSizeAreFoundOut(tokens: Int) throws {
    let findings = try PredictionWorld.run(load: .median, seed: 1, requests: 8000, stepBudgetTokens: tokens)
    #expect(findings.ttft.meanAbsolutePercentageError <= 0.12)
}

@Test func equalSeedsGiveEqualFindings() throws {
    let first = try PredictionWorld.run(load: .light, seed: 3, requests: 2000)
    let second = try PredictionWorld.run(load: .light, seed: 3, requests: 2000)
    #expect(first.json == second.json)
    #expect(first.json != (try PredictionWorld.run(load: .light, seed: 4, requests: 2000)).json)
}

@Test func anUnknownPresetIsRefused() {
    #expect(throws: LabError.self) { try PredictionWorld.run(load: .light, seed: 1, requests: 10, swapsTo: "none") }
}

@Test func predictionsMeetTheirBarsWhereTheKVCacheRunsFull() throws {
    let findings = try PredictionWorld.run(load: .nearSaturation, seed: 6)
    #expect(findings.preemptions > 10)
    #expect(findings.ttft.meanAbsolutePercentageError <= 0.18)
}

@Test func theScenarioMeasuresEveryLoadAndBothSwaps() throws {
    var options = LabOptions()
    options.duration = .seconds(1)
    options.seeds = 2
    let report = try Lab.run(.named("prediction"), options: options)
    #expect(
        report.predictions.map(\.name) == [
            "light", "median", "heavy", "near-saturation", "median, then llama-8b-h100",
            "median, then llama-70b-h100x4",
        ])
    #expect(report.predictions.allSatisfy { $0.runs.map(\.seed) == [1, 2] && $0.runs[0].ttft.count == 1000 })
    let text = report.text()
    #expect(text.contains("near-saturation") && text.contains("±"))
    #expect(text.split(separator: "\n").allSatisfy { $0.count <= 120 })
    #expect(report.json().contains("\"ttft_mape\"") && report.json().contains("\"half_width_95\""))
    #expect(report.html().contains("median, then llama-8b-h100"))
}
