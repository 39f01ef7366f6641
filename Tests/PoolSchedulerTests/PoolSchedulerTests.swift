import Admission
import Basics
import Harvest
import Pool
import PoolScheduler
import Testing

@Suite struct PoolSchedulerTests {
    @Test func anIdlePoolStartsARequestAtOnceAndForgetsItWhenItEnds() {
        var scheduler = makeScheduler()
        #expect(scheduler.submit(chat(1), now: .zero) == [.start(1, EndpointID(0))])
        #expect(scheduler.endpoints[0].load.realtimeRequests == 1)
        scheduler.firstToken(1, now: Instant(seconds: 1))
        #expect(scheduler.finished(1, AnswerFacts(outputTokens: 200), now: Instant(seconds: 2)).isEmpty)
        #expect(scheduler.endpoints[0].load == EndpointLoad())
        #expect(scheduler.requestCount == 0)
    }

    @Test func aSaturatedPoolServesTheHighestBandFirst() {
        var scheduler = makeScheduler(concurrency: 1)
        #expect(scheduler.submit(chat(1), now: .zero).started == [1])
        for (id, priority) in [(2, 0), (3, 10), (4, 0), (5, 10)] {
            #expect(scheduler.submit(chat(UInt64(id), priority: priority), now: .zero).isEmpty)
        }
        var order: [UInt64] = []
        var running: UInt64 = 1
        for _ in 0..<4 {
            let started = scheduler.finished(running, AnswerFacts(outputTokens: 1), now: .zero).started
            order += started
            running = started.first ?? 0
        }
        #expect(order == [3, 5, 2, 4])
    }

    @Test func noMessageStartsWhileARealtimeRequestWaits() {
        var scheduler = makeScheduler(concurrency: 2)
        #expect(scheduler.submit(chat(1), now: .zero).started == [1])
        #expect(scheduler.submit(chat(2), now: .zero).started == [2])
        #expect(scheduler.submit(message(3), now: .zero).isEmpty)
        #expect(scheduler.submit(chat(4), now: .zero).isEmpty)
        #expect(scheduler.finished(1, AnswerFacts(outputTokens: 1), now: .zero).started == [4])
        #expect(scheduler.finished(2, AnswerFacts(outputTokens: 1), now: .zero).started == [3])
    }

    @Test func aRealtimeRequestThatFindsThePoolFullTakesTheYoungestMessagesPlace() {
        var scheduler = makeScheduler(concurrency: 3)
        for id in 1...3 { #expect(scheduler.submit(message(UInt64(id)), now: .zero).started == [UInt64(id)]) }
        let actions = scheduler.submit(chat(9), now: Instant(seconds: 1))
        #expect(actions == [.callBack(3, EndpointID(0)), .start(9, EndpointID(0))])
        #expect(scheduler.counters.calledBack == 1)
        let late = AnswerFacts(promptTokens: 2000, cachedPromptTokens: 512, outputTokens: 1)
        #expect(scheduler.finished(3, late, now: Instant(seconds: 1)).isEmpty, "it was forgotten")
        #expect(scheduler.counters.finished[.sheddable] == 0)
        #expect(scheduler.counters.enginePromptTokens == 2000 && scheduler.counters.engineCachedPromptTokens == 512)
    }

    @Test func anAnswerThatAClientIsReadingIsNotCalledBack() {
        var scheduler = makeScheduler(concurrency: 1)
        #expect(scheduler.submit(chat(1, priority: -1), now: .zero).started == [1])
        scheduler.firstToken(1, now: .zero)
        #expect(scheduler.submit(chat(2), now: .zero).isEmpty)
        #expect(scheduler.finished(1, AnswerFacts(outputTokens: 1), now: .zero).started == [2])
    }

    @Test func aFullBandIsRefusedAndAnExpiredWaitIsReported() {
        var scheduler = makeScheduler(concurrency: 1, admission: .init(maxRequestsPerBand: 1))
        _ = scheduler.submit(chat(1), now: .zero)
        #expect(scheduler.submit(chat(2, timeToLive: .seconds(5)), now: .zero).isEmpty)
        #expect(scheduler.submit(chat(3), now: .zero).rejected == [3: .queueFull])
        #expect(scheduler.tick(now: Instant(seconds: 4.9)).isEmpty)
        #expect(scheduler.tick(now: Instant(seconds: 5)).rejected == [2: .expired])
        #expect(scheduler.requestCount == 1)
    }

    @Test func withoutAnyEndpointClientsAreToldAtOnceAndMessagesWait() {
        var scheduler = makeScheduler()
        _ = scheduler.endpointChanged(EndpointID(0), isUp: false, now: .zero)
        #expect(scheduler.submit(chat(1), now: .zero).rejected == [1: .noEndpoints])
        #expect(scheduler.submit(message(2), now: .zero).isEmpty)
        #expect(scheduler.endpointChanged(EndpointID(0), isUp: true, now: .zero).started == [2])
    }

    @Test func aFailureBeforeTheAnswerMovesARequestToAnEndpointNotTriedYet() {
        var scheduler = makeScheduler(endpoints: 2)
        guard case .start(1, let first)? = scheduler.submit(chat(1), now: .zero).first else {
            Issue.record("not started")
            return
        }
        let other = EndpointID(1 - first.index)
        #expect(scheduler.failedBeforeAnswer(1, now: .zero) == [.start(1, other)])
        #expect(scheduler.endpoints[first.index].load == EndpointLoad())
        #expect(scheduler.failedBeforeAnswer(1, now: .zero).rejected == [1: .endpointsFailed])
        #expect(scheduler.requestCount == 0)
    }

    @Test func aRequestWhoseLastHopeGoesDownDoesNotHoldUpTheLine() {
        var scheduler = makeScheduler(endpoints: 2, concurrency: 1)
        guard case .start(1, let first)? = scheduler.submit(chat(1), now: .zero).first else {
            Issue.record("not started")
            return
        }
        #expect(scheduler.submit(chat(2), now: .zero).started == [2])
        #expect(scheduler.failedBeforeAnswer(1, now: .zero).isEmpty, "it waits for the other endpoint")
        let other = EndpointID(1 - first.index)
        _ = scheduler.endpointChanged(other, isUp: false, now: .zero)
        let actions = scheduler.submit(chat(3), now: .zero)
        #expect(actions.rejected == [1: .endpointsFailed])
        #expect(actions.started == [3])
    }

    @Test(arguments: [true, false]) func absurdNumbersNeitherTrapNorHoldOthersUp(runsToLimit: Bool) {
        var scheduler = makeScheduler(kvTokens: 100_000)
        for id in 1...3 {
            let absurd = PoolRequest(
                id: UInt64(id), priority: 0, promptTokens: id == 3 ? .max : 1000, cachedPromptTokens: .min,
                maxOutputTokens: .max, runsToLimit: runsToLimit)
            #expect(scheduler.submit(absurd, now: .zero).started == [UInt64(id)])
            scheduler.firstToken(UInt64(id), now: .zero)
            scheduler.progressed(UInt64(id), outputTokens: id == 2 ? 10_000 : 1, now: .zero)
        }
        #expect(scheduler.submit(chat(9), now: .zero).started == [9])
        for id in [1, 2, 3, 9] { _ = scheduler.finished(UInt64(id), AnswerFacts(outputTokens: .max), now: .zero) }
        #expect(scheduler.endpoints[0].load == EndpointLoad())
    }

    @Test func aFailedMessageGoesBackToItsQueue() {
        var scheduler = makeScheduler(endpoints: 2)
        _ = scheduler.submit(message(1), now: .zero)
        #expect(scheduler.failedBeforeAnswer(1, now: .zero).rejected == [1: .endpointsFailed])
    }

    @Test func aCancelledRequestLeavesNoTraceWhetherItWaitsOrRuns() {
        var scheduler = makeScheduler(concurrency: 1)
        _ = scheduler.submit(chat(1), now: .zero)
        _ = scheduler.submit(chat(2), now: .zero)
        #expect(scheduler.cancelled(2, now: .zero).isEmpty)
        #expect(scheduler.cancelled(1, now: .zero).isEmpty)
        #expect(scheduler.requestCount == 0)
        #expect(scheduler.endpoints[0].load == EndpointLoad())
        #expect(scheduler.cancelled(1, now: .zero).isEmpty)
    }

    @Test func messagesGoEarliestDeadlineFirst() {
        var scheduler = makeScheduler(harvest: .init(maxInFlightPerEndpoint: 1))
        #expect(scheduler.submit(message(1, deadline: 900), now: .zero).started == [1])
        for (id, deadline) in [(2, 500.0), (3, 100.0), (4, 300.0)] {
            #expect(scheduler.submit(message(UInt64(id), deadline: deadline), now: .zero).isEmpty)
        }
        #expect(scheduler.finished(1, AnswerFacts(outputTokens: 1), now: .zero).started == [3])
        #expect(scheduler.tick(now: Instant(seconds: 300)).rejected == [4: .expired])
        #expect(scheduler.finished(3, AnswerFacts(outputTokens: 1), now: Instant(seconds: 300)).started == [2])
    }

    @Test func drainingTurnsTheWaitingAwayAndLetsTheRunningFinish() {
        var scheduler = makeScheduler(concurrency: 1)
        _ = scheduler.submit(chat(1), now: .zero)
        _ = scheduler.submit(chat(2), now: .zero)
        #expect(scheduler.drain(now: .zero).rejected == [2: .shuttingDown])
        #expect(scheduler.submit(chat(3), now: .zero).rejected == [3: .shuttingDown])
        #expect(scheduler.finished(1, AnswerFacts(outputTokens: 1), now: .zero).isEmpty)
        #expect(scheduler.requestCount == 0)
    }

    @Test func batchGoesWhereTheMostRoomIsLeft() {
        var scheduler = makeScheduler(endpoints: 2)
        _ = scheduler.endpointChanged(EndpointID(0), isUp: false, now: .zero)
        for id in 1...20 { _ = scheduler.submit(chat(UInt64(id)), now: .zero) }
        _ = scheduler.endpointChanged(EndpointID(0), isUp: true, now: .zero)
        #expect(scheduler.submit(message(100), now: .zero) == [.start(100, EndpointID(0))])
    }

    @Test func aGenerationBeyondItsEstimateGrowsTheReservation() {
        var scheduler = makeScheduler()
        var request = chat(1)
        request.runsToLimit = false
        request.maxOutputTokens = 10
        _ = scheduler.submit(request, now: .zero)
        scheduler.firstToken(1, now: .zero)
        let before = scheduler.endpoints[0].load.reservedKVTokens
        scheduler.progressed(1, outputTokens: 100, now: .zero)
        #expect(scheduler.endpoints[0].load.reservedKVTokens == before - 10 + 125)
        _ = scheduler.finished(1, AnswerFacts(outputTokens: 120), now: .zero)
        #expect(scheduler.endpoints[0].load == EndpointLoad())
    }

    @Test func theKVCacheSizeIsTakenFromAScrapeOnlyIfNotConfigured() {
        var unknown = makeScheduler(kvTokens: nil)
        _ = unknown.scraped(
            EndpointID(0), ScrapedMetrics(waiting: 0, running: 0, kvBlocks: 500, blockSizeTokens: 10), now: .zero)
        #expect(unknown.endpoints[0].capacity.kvTokens == 5000)
        var known = makeScheduler(kvTokens: 100)
        _ = known.scraped(
            EndpointID(0), ScrapedMetrics(waiting: 0, running: 0, kvBlocks: 500, blockSizeTokens: 10), now: .zero)
        #expect(known.endpoints[0].capacity.kvTokens == 100)
    }
}
