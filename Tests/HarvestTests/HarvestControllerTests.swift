import Basics
import Harvest
import Pool
import Testing

private let model = StepTimeModel(
    baseMilliseconds: 6.86, perDecodeMilliseconds: 0.022, perContextTokenMilliseconds: 5.5e-5,
    perPrefillTokenMilliseconds: 0.0202)
private let batch = RequestDemand(promptTokens: 2600, expectedOutputTokens: 200)
private let chat = RequestDemand(promptTokens: 1100, expectedOutputTokens: 200)
/// What a batch request adds to every step: its decode, its context, and its prompt spread over its 200 tokens.
private let batchCost = 0.022 + 5.5e-5 * 2700 + 0.0202 * 13

private func endpoint(kvTokens: Int? = 421_000, realtime: Int = 0, sheddable: Int = 0) -> Endpoint {
    var endpoint = Endpoint(
        name: "a", capacity: .init(stepTime: model, kvTokens: kvTokens, maxConcurrentRequests: 256))
    for _ in 0..<realtime { endpoint.load.reserve(chat, .realtime) }
    for _ in 0..<sheddable { endpoint.load.reserve(batch, .sheddable) }
    return endpoint
}

/// A real-time request that met its limits, and one that batch work made miss one.
private let fine = RealtimeOutcome(
    ttftMilliseconds: 100, ttftOfBatchMilliseconds: 50, tpotMilliseconds: 30, tpotOfBatchMilliseconds: 10,
    outputTokens: 200)
private let spoilt = RealtimeOutcome(
    ttftMilliseconds: 1100, ttftOfBatchMilliseconds: 200, tpotMilliseconds: 30, tpotOfBatchMilliseconds: 10,
    outputTokens: 200)
private let lostAnyway = RealtimeOutcome(
    ttftMilliseconds: 3000, ttftOfBatchMilliseconds: 200, tpotMilliseconds: 70, tpotOfBatchMilliseconds: 10,
    outputTokens: 200)

@Suite struct HarvestControllerTests {
    /// A controller that knows the endpoint's pace and whose slow loop has come to rest without any caution.
    private func controller(_ configuration: HarvestConfiguration = .init(stepShare: 0.8)) -> HarvestController {
        var controller = HarvestController(configuration: configuration, now: .zero)
        controller.isPaceKnown = true
        for _ in 0..<4000 { controller.realtimeFinished(fine) }
        return controller
    }

    @Test func theCapIsTheNumberOfRequestsAtWhichATokenTakesItsShareOfTheLimit() {
        var harvest = controller()
        let state = harvest.judge(batch, on: endpoint(), backlog: .init(), now: .zero)
        #expect(abs(state.requestCap - (40 - 6.86) / batchCost) < 0.1)
        #expect(state.limit == nil)
    }

    @Test func realtimeRequestsTakeTheirShareOfTheStepFromBatch() {
        var harvest = controller()
        let busy = harvest.judge(batch, on: endpoint(realtime: 40), backlog: .init(), now: .zero)
        let realtimeStep = 40 * (0.022 + 5.5e-5 * 1200)
        #expect(busy.allowedBatchRequests == Int((40 - 6.86 - realtimeStep) / batchCost))
    }

    @Test func realtimePromptsAheadTakeTheirShareOfTheTime() {
        var harvest = controller()
        // 10,000 tokens are 202 ms of the 1000 ms in which they are due.
        let state = harvest.judge(
            batch, on: endpoint(realtime: 1), backlog: .init(promptTokens: 10_000), now: .zero)
        let realtimeStep = 0.022 + 5.5e-5 * 1200
        #expect(state.allowedBatchRequests == Int((40 * (1 - 0.202) - 6.86 - realtimeStep) / batchCost))
    }

    @Test func noBatchStartsBeyondTheCap() {
        var harvest = controller()
        harvest.batchPlaced(batch, now: .zero)
        let state = harvest.judge(batch, on: endpoint(sheddable: 90), backlog: .init(), now: .zero)
        #expect(state.limit == .stepTime)
    }

    @Test func batchPromptsTakeTheTimeThatStepsLeave() {
        var harvest = controller(.init(stepShare: 0.8, prefillShare: 1))
        let busy = endpoint(realtime: 1, sheddable: 20)
        var started = 0
        for tick in 0..<400 {
            let now = Instant(seconds: Double(tick) / 20)
            while harvest.judge(batch, on: busy, backlog: .init(), now: now).limit == nil {
                harvest.batchPlaced(batch, now: now)
                started += 1
            }
        }
        let step = model.stepMilliseconds(decodes: 21, contextTokens: 55_200, prefillTokens: 0)
        let wanted = (1 - step / 40) / 0.0202 * 1000
        let sent = Double(started * batch.promptTokens) / 20
        #expect(abs(sent / wanted - 1) < 0.05)
    }

    @Test func anIdleEndpointIsGivenOneWhateverItsBucketSays() {
        var harvest = controller()
        _ = harvest.judge(batch, on: endpoint(), backlog: .init(), now: .zero)
        for _ in 0..<25 { harvest.batchPlaced(batch, now: .zero) }
        #expect(harvest.judge(batch, on: endpoint(), backlog: .init(), now: .zero).limit == nil)
        #expect(harvest.judge(batch, on: endpoint(sheddable: 1), backlog: .init(), now: .zero).limit == .prefill)
    }

    @Test func theKVCacheIsNotFilledBeyondItsShare() {
        var harvest = controller()
        let small = endpoint(kvTokens: 9_800, sheddable: 2)
        #expect(harvest.judge(batch, on: small, backlog: .init(), now: .zero).limit == .kvCache)
        let unknown = endpoint(kvTokens: nil, sheddable: 2)
        #expect(harvest.judge(batch, on: unknown, backlog: .init(), now: .zero).limit == nil)
    }

    @Test func realtimeWorkThatWaitsTooLongPutsTheBrakeOn() {
        var harvest = controller()
        let busy = endpoint(realtime: 5, sheddable: 5)
        func limit(_ backlog: RealtimeBacklog) -> HarvestLimit? {
            harvest.judge(batch, on: busy, backlog: backlog, now: .zero).limit
        }
        #expect(limit(.init(oldestSilence: .milliseconds(701))) == .brake)
        #expect(limit(.init(oldestSilence: .milliseconds(699))) == nil)
        // 34,700 tokens take 701 ms to compute.
        #expect(limit(.init(promptTokens: 34_700)) == .brake)
        #expect(harvest.requestsToCallBack(from: busy, backlog: .init(promptTokens: 34_700), now: .zero) == 5)
        #expect(harvest.requestsToCallBack(from: busy, backlog: .init(promptTokens: 34_000), now: .zero) == 0)
    }

    @Test func aSurgeCallsBatchBackDownToTheCap() {
        var harvest = controller()
        harvest.batchPlaced(batch, now: .zero)
        let calm = endpoint(realtime: 40, sheddable: 30)
        #expect(harvest.requestsToCallBack(from: calm, backlog: .init(), now: .zero) == 0)
        let surge = endpoint(realtime: 500, sheddable: 30)
        #expect(harvest.requestsToCallBack(from: surge, backlog: .init(), now: .zero) == 30)
        let alone = endpoint(sheddable: 500)
        #expect(harvest.requestsToCallBack(from: alone, backlog: .init(), now: .zero) == 0)
    }

    @Test func theBrakeWastesNoMoreThanItsShareOfTheHarvest() {
        var harvest = controller(.init(abortedTokenShare: 0.05))
        for _ in 0..<100 {
            harvest.batchFinished(uncachedPromptTokens: 8500, outputTokens: 500, residence: .seconds(4))
        }
        #expect(harvest.mayWaste(lostTokens: 50_000))
        harvest.batchAborted(lostTokens: 48_000)
        #expect(!harvest.mayWaste(lostTokens: 48_000))
        #expect(harvest.mayWaste(lostTokens: 46_000))
    }

    @Test func untilThePaceIsKnownHalfTheTimePerTokenIsUsed() {
        var harvest = controller()
        harvest.isPaceKnown = false
        let state = harvest.judge(batch, on: endpoint(), backlog: .init(), now: .zero)
        #expect(abs(state.requestCap - (20 - 6.86) / batchCost) < 0.1)
    }

    /// A controller at full caution whose real-time answers have `tokens` tokens.
    private func cautious(answersOf tokens: Int) -> HarvestController {
        var harvest = controller(.init())
        var answer = spoilt
        answer.outputTokens = tokens
        for _ in 0..<10_000 { harvest.realtimeFinished(answer) }
        return harvest
    }

    @Test(arguments: [(8, 20), (1024, 0)])
    func batchMakesWayForAnswersThatFullStepsWouldHoldAltogether(tokens: Int, calledBack: Int) {
        var harvest = cautious(answersOf: tokens)
        // 25,000 prompt tokens are 505 ms of work: twelve steps of 50 ms, of which 43 are left for prompts.
        let backlog = RealtimeBacklog(promptTokens: 25_000, requests: 10)
        let surge = endpoint(realtime: 14, sheddable: 20)
        #expect(harvest.requestsToCallBack(from: surge, backlog: backlog, now: .zero) == calledBack)
    }

    @Test func batchWorkIsNotGivenUpForLessThanItIsWorth() {
        var harvest = cautious(answersOf: 8)
        // One decodes and half of one waits; some 46 % of the answers, of 8 to 15 tokens, are shorter than 11.7 steps: 0.7
        // misses, at 50 batch requests each.
        let backlog = RealtimeBacklog(promptTokens: 25_000, requests: 1)
        #expect(
            harvest.requestsToCallBack(from: endpoint(realtime: 2, sheddable: 33), backlog: backlog, now: .zero) == 33)
        #expect(
            harvest.requestsToCallBack(from: endpoint(realtime: 2, sheddable: 37), backlog: backlog, now: .zero) == 0)
    }

    @Test func aMissIsWorthLessTheMoreHasBeenThrownAway() {
        var harvest = cautious(answersOf: 8)
        let surge = endpoint(realtime: 14, sheddable: 40)
        let backlog = RealtimeBacklog(promptTokens: 25_000, requests: 10)
        #expect(harvest.requestsToCallBack(from: surge, backlog: backlog, now: .zero) == 40)
        // A quarter of the million that counts as harvested may go, and has gone.
        harvest.batchAborted(lostTokens: 250_000)
        #expect(harvest.requestsToCallBack(from: surge, backlog: backlog, now: .zero) == 0)
    }

    @Test func afterASurgeNothingStartsUntilItsRequestsHaveLeft() {
        var harvest = cautious(answersOf: 8)
        let backlog = RealtimeBacklog(promptTokens: 25_000, requests: 10)
        #expect(harvest.judge(batch, on: endpoint(realtime: 14), backlog: backlog, now: .zero).limit == .brake)
        func limit(_ milliseconds: Double) -> HarvestLimit? {
            harvest.judge(batch, on: endpoint(), backlog: .init(), now: .zero + .milliseconds(milliseconds)).limit
        }
        #expect(limit(1490) == .brake)
        #expect(limit(1510) == nil)
    }

    @Test func answersCountAsShortUntilSomeHaveBeenSeen() {
        var harvest = HarvestController(configuration: .init(), now: .zero)
        let backlog = RealtimeBacklog(promptTokens: 25_000, requests: 10)
        let surge = endpoint(realtime: 14, sheddable: 20)
        #expect(harvest.requestsToCallBack(from: surge, backlog: backlog, now: .zero) == 20)
    }

    @Test func theRecentRiseOfRealtimeWorkIsKeptFree() {
        var harvest = controller()
        for step in 0..<240 {
            let surging = (step / 20) % 2 == 1
            harvest.tick(
                endpoint: endpoint(realtime: surging ? 30 : 10), backlog: .init(),
                now: Instant(seconds: Double(step) / 4))
        }
        let state = harvest.judge(batch, on: endpoint(realtime: 10), backlog: .init(), now: Instant(seconds: 60))
        let perChat = 0.022 + 5.5e-5 * 1200
        #expect(abs(state.reserveMilliseconds - 20 * perChat) < 1e-9)
        #expect(state.allowedBatchRequests == Int((40 - 6.86 - 30 * perChat) / batchCost))
    }

    @Test func switchedOffItAllowsNothing() {
        var harvest = controller(.init(isEnabled: false))
        let state = harvest.judge(batch, on: endpoint(), backlog: .init(), now: .zero)
        #expect(state.limit == .disabled && state.allowedBatchRequests == 0)
    }

    // MARK: The slow loop

    private func caution(_ harvest: HarvestController) -> Double {
        var copy = harvest
        return copy.judge(batch, on: endpoint(), backlog: .init(), now: .zero).caution
    }

    @Test func cautionBeginsHighAndFallsWhileNobodyIsHarmed() {
        var harvest = HarvestController(configuration: .init(), now: .zero)
        #expect(caution(harvest) == 1)
        // Each takes 4 * 0.04 * 0.0025 of it, four times what it takes in the long run.
        for _ in 0..<1250 { harvest.realtimeFinished(fine) }
        #expect(abs(caution(harvest) - 0.5) < 1e-9)
        for _ in 0..<5000 { harvest.realtimeFinished(fine) }
        #expect(caution(harvest) == 0)
    }

    @Test func onlyMissesThatBatchWorkCausedMakeCautious() {
        var harvest = controller()
        for _ in 0..<1000 { harvest.realtimeFinished(lostAnyway) }
        #expect(caution(harvest) == 0)
        for _ in 0..<10 { harvest.realtimeFinished(spoilt) }
        #expect(abs(caution(harvest) - 10 * 0.04 * (1 - 0.0025)) < 1e-9 + 0.01)
        for _ in 0..<100 { harvest.realtimeFinished(spoilt) }
        #expect(caution(harvest) == 1)
    }

    @Test func cautionTakesFromTheStepAndSharpensTheBrake() {
        var harvest = controller(.init())
        let calm = harvest.judge(batch, on: endpoint(), backlog: .init(), now: .zero)
        for _ in 0..<100 { harvest.realtimeFinished(spoilt) }
        let cautious = harvest.judge(batch, on: endpoint(), backlog: .init(), now: .zero)
        #expect(abs(calm.requestCap - (37.5 - 6.86) / batchCost) < 0.1)
        #expect(abs(cautious.requestCap - (37.5 * 2 / 3 - 6.86) / batchCost) < 0.1)
        // 31,000 tokens take 626 ms to compute.
        let backlog = RealtimeBacklog(promptTokens: 31_000)
        #expect(harvest.judge(batch, on: endpoint(realtime: 9), backlog: backlog, now: .zero).limit == .brake)
    }

    @Test func inEquilibriumTheToleratedShareOfMissesRemains() {
        var harvest = controller(.init(toleratedMissShare: 0.01))
        var generator = SeededGenerator(seed: 2)
        var misses = 0
        let requests = 40_000
        for _ in 0..<requests {
            // The more batch work, the more misses.
            let isMissed = Double.random(in: 0..<1, using: &generator) < 0.02 * (1 - caution(harvest))
            harvest.realtimeFinished(isMissed ? spoilt : fine)
            misses += isMissed ? 1 : 0
        }
        #expect((0.008...0.012).contains(Double(misses) / Double(requests)))
    }
}
