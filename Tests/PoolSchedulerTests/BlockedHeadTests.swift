import Admission
import Basics
import Harvest
import Pool
import PoolScheduler
import Testing

/// One request that does not fit must not hold up everybody behind it, nor the pool's other tempo.
@Suite struct BlockedHeadTests {
    private func large(_ id: UInt64, promptTokens: Int) -> PoolRequest {
        PoolRequest(id: id, priority: 0, promptTokens: promptTokens, maxOutputTokens: 100, runsToLimit: true)
    }

    /// Answers of 200 tokens: until some have been seen they count as short, and batch makes way for any long prompt.
    private func serveSomeChats(_ scheduler: inout PoolScheduler) {
        for id in UInt64(100)..<110 {
            _ = scheduler.submit(chat(id), now: .zero)
            scheduler.firstToken(id, now: .zero)
            _ = scheduler.finished(id, AnswerFacts(outputTokens: 200), now: .zero)
        }
    }

    @Test func smallRequestsPassAPromptForWhichTheCacheHasNoRoomNow() {
        var scheduler = makeScheduler(kvTokens: 100_000)
        #expect(scheduler.submit(large(1, promptTokens: 60_000), now: .zero).started == [1])
        #expect(scheduler.submit(large(2, promptTokens: 60_000), now: .zero).isEmpty)
        #expect(scheduler.submit(chat(3), now: .zero).isEmpty)
        #expect(
            scheduler.tick(now: Instant(seconds: 0.05)).isEmpty, "60 000 tokens ahead of it take 1.2 s of its second")
        scheduler.firstToken(1, now: Instant(seconds: 1.2))
        #expect(scheduler.tick(now: Instant(seconds: 1.25)).started == [3])
        #expect(scheduler.finished(1, AnswerFacts(outputTokens: 100), now: Instant(seconds: 2)).started == [2])
    }

    @Test func aLowerBandDoesNotPassABlockedHigherOne() {
        var scheduler = makeScheduler(kvTokens: 100_000)
        _ = scheduler.submit(large(1, promptTokens: 60_000), now: .zero)
        var urgent = large(2, promptTokens: 60_000)
        urgent.priority = 5
        #expect(scheduler.submit(urgent, now: .zero).isEmpty)
        #expect(scheduler.submit(chat(3), now: .zero).isEmpty)
        #expect(scheduler.tick(now: Instant(seconds: 0.05)).isEmpty)
    }

    @Test func noBatchIsCalledBackWhereThatWouldNotMakeRoom() {
        var scheduler = makeScheduler(
            kvTokens: 100_000, harvest: .init(tpotLimitMilliseconds: 500, ttftLimitMilliseconds: 1e5))
        serveSomeChats(&scheduler)
        _ = scheduler.submit(large(1, promptTokens: 60_000), now: .zero)
        #expect(scheduler.submit(message(2), now: .zero).started == [2])
        #expect(scheduler.submit(large(3, promptTokens: 60_000), now: .zero).calledBack.isEmpty)
        #expect(scheduler.tick(now: Instant(seconds: 0.05)).calledBack.isEmpty)
        #expect(scheduler.submit(large(4, promptTokens: 37_000), now: Instant(seconds: 0.06)).isEmpty)
    }

    @Test func onlyAsMuchBatchIsCalledBackAsIsNeeded() {
        var scheduler = makeScheduler(
            kvTokens: 100_000,
            harvest: .init(tpotLimitMilliseconds: 500, ttftLimitMilliseconds: 1e5, prefillBurstMilliseconds: 1e6))
        serveSomeChats(&scheduler)
        for id in 1...4 { #expect(scheduler.submit(message(UInt64(id)), now: .zero).started == [UInt64(id)]) }
        let actions = scheduler.submit(large(9, promptTokens: 94_000), now: .zero)
        #expect(actions == [.callBack(4, EndpointID(0)), .callBack(3, EndpointID(0)), .start(9, EndpointID(0))])
    }

    @Test func smallMessagesPassOneThatDoesNotFitBesideRealtimeWork() {
        var scheduler = makeScheduler(kvTokens: 100_000)
        #expect(scheduler.submit(chat(1), now: .zero).started == [1])
        #expect(scheduler.submit(message(2, deadline: 10, promptTokens: 90_000), now: .zero).isEmpty)
        #expect(scheduler.submit(message(3), now: .zero).isEmpty)
        #expect(scheduler.tick(now: Instant(seconds: 0.05)).started == [3])
    }

    @Test func anIdleEndpointTakesAMessageOfAnySize() {
        var scheduler = makeScheduler(kvTokens: 100_000)
        #expect(scheduler.submit(message(1, promptTokens: 95_000), now: .zero).started == [1])
        #expect(scheduler.submit(message(2), now: .zero).isEmpty, "the prompt bucket is in debt")
    }

    @Test func anEngineTooSlowForTheLimitStillHarvestsWhenNobodyIsThere() {
        var scheduler = makeScheduler(harvest: .init(tpotLimitMilliseconds: 7))
        #expect(scheduler.submit(message(1), now: .zero).started == [1])
        #expect(scheduler.submit(message(2), now: .zero).isEmpty)
        #expect(scheduler.finished(1, AnswerFacts(outputTokens: 10), now: Instant(seconds: 5)).started == [2])
        let actions = scheduler.submit(chat(3), now: Instant(seconds: 5))
        #expect(actions.started == [3])
        #expect(actions.calledBack == [2], "the brake does not wait for a tick")
    }

    @Test func answersInOnePieceDoNotLookLikeSilence() {
        var scheduler = makeScheduler()
        var whole = chat(1)
        whole.streams = false
        #expect(scheduler.submit(whole, now: .zero).started == [1])
        #expect(scheduler.endpoints[0].load.pendingPrefillTokens == 1000)
        _ = scheduler.tick(now: Instant(seconds: 0.05))
        #expect(scheduler.endpoints[0].load.pendingPrefillTokens == 0, "the prompt has been computed by now")
        _ = scheduler.tick(now: Instant(seconds: 10))
        #expect(scheduler.submit(message(2), now: Instant(seconds: 10)).started == [2])
        _ = scheduler.finished(1, AnswerFacts(outputTokens: 200), now: Instant(seconds: 11))
        _ = scheduler.finished(2, AnswerFacts(outputTokens: 200), now: Instant(seconds: 12))
        #expect(scheduler.endpoints[0].load == EndpointLoad())
    }

    @Test func aStreamThatStaysSilentPutsTheBrakeOn() {
        var scheduler = makeScheduler()
        #expect(scheduler.submit(chat(1), now: .zero).started == [1])
        #expect(scheduler.submit(message(2), now: Instant(seconds: 0.75)).isEmpty)
        scheduler.firstToken(1, now: Instant(seconds: 0.8))
        #expect(scheduler.tick(now: Instant(seconds: 2.2)).isEmpty, "another surge may follow")
        #expect(scheduler.tick(now: Instant(seconds: 2.3)).started == [2])
    }

    @Test func messagesAreHandedBackWhenNoEndpointComesUp() {
        var scheduler = makeScheduler()
        _ = scheduler.endpointChanged(EndpointID(0), isUp: false, now: .zero)
        #expect(scheduler.submit(message(1), now: .zero).isEmpty)
        #expect(scheduler.tick(now: Instant(seconds: 1.9)).isEmpty)
        #expect(scheduler.tick(now: Instant(seconds: 2)).rejected == [1: .noEndpoints])
        #expect(scheduler.requestCount == 0)
    }
}
