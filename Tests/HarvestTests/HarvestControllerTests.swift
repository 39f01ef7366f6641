import Basics
import Harvest
import Pool
import Testing

private let model = StepTimeModel(
    baseMilliseconds: 6.86, perDecodeMilliseconds: 0.022, perContextTokenMilliseconds: 5.5e-5,
    perPrefillTokenMilliseconds: 0.0202)
private let batch = RequestDemand(promptTokens: 2600, expectedOutputTokens: 200)
private let chat = RequestDemand(promptTokens: 1100, expectedOutputTokens: 200)

private func endpoint(kvTokens: Int? = 421_000, realtime: Int = 0, sheddable: Int = 0) -> Endpoint {
    var endpoint = Endpoint(
        name: "a", capacity: .init(stepTime: model, kvTokens: kvTokens, maxConcurrentRequests: 256))
    for _ in 0..<realtime { endpoint.load.reserve(chat, .realtime) }
    for _ in 0..<sheddable { endpoint.load.reserve(batch, .sheddable) }
    return endpoint
}

@Suite struct HarvestControllerTests {
    private func controller(_ configuration: HarvestConfiguration = .init(stepShare: 0.4)) -> HarvestController {
        HarvestController(configuration: configuration, now: .zero)
    }

    @Test func theCapIsTheNumberOfRequestsAtWhichAStepTakesItsShareOfTheLimit() {
        var harvest = controller()
        let state = harvest.judge(batch, on: endpoint(), oldestSilence: .zero, now: .zero)
        // (0.4 * 50 - 6.86) / (0.022 + 5.5e-5 * 2700)
        #expect(abs(state.requestCap - 77.08) < 0.1)
        #expect(state.limit == nil)
    }

    @Test func realtimeRequestsTakeTheirShareOfTheStepFromBatch() {
        var harvest = controller()
        let idle = harvest.judge(batch, on: endpoint(), oldestSilence: .zero, now: .zero)
        let busy = harvest.judge(batch, on: endpoint(realtime: 40), oldestSilence: .zero, now: .zero)
        let realtimeStep = 40 * (0.022 + 5.5e-5 * 1200)
        #expect(idle.allowedBatchRequests == 77)
        #expect(busy.allowedBatchRequests == Int((13.14 - realtimeStep) / (0.022 + 5.5e-5 * 2700)))
    }

    @Test func noBatchStartsBeyondTheCap() {
        var harvest = controller()
        let state = harvest.judge(batch, on: endpoint(sheddable: 78), oldestSilence: .zero, now: .zero)
        #expect(state.limit == .stepTime)
    }

    @Test func promptTokensArePacedToTheirShareOfPrefillTime() {
        var harvest = controller(.init(stepShare: 0.9, prefillShare: 0.5))
        let idle = endpoint()
        var started = 0
        for tick in 0..<200 {
            let now = Instant(seconds: Double(tick) / 20)
            while harvest.judge(batch, on: idle, oldestSilence: .zero, now: now).limit == nil {
                harvest.batchPlaced(batch, now: now)
                started += 1
            }
        }
        let tokensPerSecond = Double(started * batch.promptTokens) / 10
        #expect(abs(tokensPerSecond / (0.5 / 0.0202 * 1000) - 1) < 0.05)
    }

    @Test func realtimePromptsComeOffTheBatchShare() {
        var harvest = controller(.init(stepShare: 0.9, prefillShare: 0.5))
        for index in 0..<1000 { harvest.realtimePlaced(chat, now: Instant(seconds: Double(index) * 0.04)) }
        let now = Instant(seconds: 40)
        for _ in 0..<3 { harvest.batchPlaced(batch, now: now) }
        #expect(harvest.judge(batch, on: endpoint(), oldestSilence: .zero, now: now).limit == .prefill)
        harvest.realtimePlaced(chat, now: now)
        let later = now + .milliseconds(200)
        #expect(harvest.judge(batch, on: endpoint(), oldestSilence: .zero, now: later).limit == .prefill)
        #expect(harvest.judge(batch, on: endpoint(), oldestSilence: .zero, now: now + .seconds(10)).limit == nil)
    }

    @Test func theKVCacheIsNotFilledBeyondItsShare() {
        var harvest = controller(.init(stepShare: 0.9))
        let small = endpoint(kvTokens: 9_800, sheddable: 2)
        #expect(harvest.judge(batch, on: small, oldestSilence: .zero, now: .zero).limit == .kvCache)
        let unknown = endpoint(kvTokens: nil, sheddable: 2)
        #expect(harvest.judge(batch, on: unknown, oldestSilence: .zero, now: .zero).limit == nil)
    }

    @Test func aSilentRealtimeRequestPutsTheBrakeOn() {
        var harvest = controller()
        let busy = endpoint(realtime: 5, sheddable: 5)
        #expect(harvest.judge(batch, on: busy, oldestSilence: .milliseconds(501), now: .zero).limit == .brake)
        #expect(harvest.judge(batch, on: busy, oldestSilence: .milliseconds(499), now: .zero).limit == nil)
    }

    @Test func aSurgeCallsBatchBackDownToTheCap() {
        let harvest = controller()
        let calm = endpoint(realtime: 40, sheddable: 30)
        #expect(harvest.requestsToCallBack(from: calm, oldestSilence: .zero, now: .zero) == 0)
        let surge = endpoint(realtime: 150, sheddable: 30)
        #expect(harvest.requestsToCallBack(from: surge, oldestSilence: .zero, now: .zero) == 30)
    }

    @Test func theBrakeWastesNoMoreThanItsShareOfTheHarvest() {
        var harvest = controller(.init(abortedTokenShare: 0.05))
        for _ in 0..<100 { harvest.batchFinished(tokens: 9000, residence: .seconds(4)) }
        #expect(harvest.mayWaste(lostTokens: 50_000))
        harvest.batchAborted(lostTokens: 48_000)
        #expect(!harvest.mayWaste(lostTokens: 3000))
        #expect(harvest.mayWaste(lostTokens: 2000))
    }

    @Test func theRecentRiseOfRealtimeWorkIsKeptFree() {
        var harvest = controller()
        for step in 0..<240 {
            let surging = (step / 20) % 2 == 1
            harvest.tick(
                load: endpoint(realtime: surging ? 30 : 10).load, now: Instant(seconds: Double(step) / 4))
        }
        let state = harvest.judge(batch, on: endpoint(realtime: 10), oldestSilence: .zero, now: Instant(seconds: 60))
        #expect(state.reserve == 20)
        #expect(state.allowedBatchRequests == Int((13.14 - 30 * (0.022 + 5.5e-5 * 1200)) / (0.022 + 5.5e-5 * 2700)))
    }

    @Test func switchedOffItAllowsNothing() {
        var harvest = controller(.init(isEnabled: false))
        let state = harvest.judge(batch, on: endpoint(), oldestSilence: .zero, now: .zero)
        #expect(state.limit == .disabled && state.allowedBatchRequests == 0)
    }

    @Test func theOutputLengthEstimateFindsItsQuantile() {
        var estimate = OutputLengthEstimate(quantile: 0.75)
        #expect(estimate.expectedTokens(maxTokens: 4000) == 512)
        #expect(estimate.expectedTokens(maxTokens: 40) == 40)
        #expect(estimate.expectedTokens(maxTokens: nil) == 512)
        var generator = SeededGenerator(seed: 3)
        for _ in 0..<5000 { estimate.observe(outputTokens: Int.random(in: 0..<1000, using: &generator)) }
        #expect(abs(estimate.expectedTokens(maxTokens: nil) - 750) < 120)
        #expect(estimate.expectedTokens(maxTokens: 10) == 10)
    }
}
