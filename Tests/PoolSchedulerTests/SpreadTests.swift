import Basics
import Harvest
import Pool
import PoolScheduler
import Testing

/// Requests without a cache to go to, and limits on where they go.
@Suite struct SpreadTests {
    @Test func manyRequestsAtOnceSpreadEvenly() {
        var scheduler = makeScheduler(endpoints: 8, harvest: .init(ttftLimitMilliseconds: 1e6))
        for id in 1...800 { #expect(scheduler.submit(chat(UInt64(id)), now: .zero).started == [UInt64(id)]) }
        let counts = scheduler.endpoints.map(\.load.requests)
        #expect(Double(counts.max() ?? 0) <= 1.15 * Double(counts.min() ?? 0), "\(counts)")
    }

    @Test func requestsOfAllSizesSpreadByTheWorkTheyAre() {
        var scheduler = makeScheduler(endpoints: 8, kvTokens: nil, harvest: .init(ttftLimitMilliseconds: 1e6))
        var generator = SeededGenerator(seed: 4)
        for id in 1...800 {
            var request = chat(UInt64(id))
            request.promptTokens = Int.random(in: 100...4000, using: &generator)
            #expect(scheduler.submit(request, now: .zero).started == [UInt64(id)])
        }
        let tokens = scheduler.endpoints.map(\.load.pendingPrefillTokens)
        #expect(Double(tokens.max() ?? 0) <= 1.15 * Double(tokens.min() ?? 0), "\(tokens)")
    }

    @Test func requestsGoOnlyWhereTheyMay() {
        var scheduler = makeScheduler(endpoints: 4)
        for id in 1...20 {
            var request = chat(UInt64(id))
            request.allowedEndpoints = [EndpointID(1), EndpointID(3)]
            let place = scheduler.submit(request, now: .zero).place(of: UInt64(id))
            #expect(place.map { [1, 3].contains($0.index) } == true)
        }
        #expect(scheduler.endpoints.map(\.load.requests) == [0, 10, 0, 10])
    }

    @Test func aRequestThatMayGoNowhereIsToldSoAndHoldsNobodyUp() {
        var scheduler = makeScheduler(endpoints: 2)
        var request = chat(1)
        request.allowedEndpoints = []
        #expect(scheduler.submit(request, now: .zero).rejected == [1: .noEndpoints])
        _ = scheduler.endpointChanged(EndpointID(1), isUp: false, now: .zero)
        request.allowedEndpoints = [EndpointID(1)]
        request.id = 2
        #expect(scheduler.submit(request, now: .zero).rejected == [2: .noEndpoints])
        #expect(scheduler.submit(chat(3), now: .zero).started == [3])
        #expect(scheduler.requestCount == 1)
    }

    @Test func aRequestWhoseOnlyEndpointGoesDownWhileItWaitsIsToldSo() {
        var scheduler = makeScheduler(endpoints: 2, concurrency: 1)
        #expect(scheduler.submit(chat(1), now: .zero).started == [1])
        #expect(scheduler.submit(chat(2), now: .zero).started == [2])
        var request = chat(3)
        request.allowedEndpoints = [EndpointID(1)]
        #expect(scheduler.submit(request, now: .zero).isEmpty)
        _ = scheduler.endpointChanged(EndpointID(1), isUp: false, now: .zero)
        #expect(scheduler.submit(chat(4), now: .zero).rejected == [3: .noEndpoints])
    }

    @Test func noBatchIsCalledBackFromWhereTheRequestMayNotGo() {
        var scheduler = makeScheduler(endpoints: 2, concurrency: 1)
        var batch = message(1)
        batch.allowedEndpoints = [EndpointID(0)]
        #expect(scheduler.submit(batch, now: .zero).place(of: 1) == EndpointID(0))
        #expect(scheduler.submit(chat(2), now: .zero).place(of: 2) == EndpointID(1))
        var request = chat(3)
        request.allowedEndpoints = [EndpointID(1)]
        #expect(scheduler.submit(request, now: .zero).isEmpty)
        #expect(scheduler.tick(now: Instant(seconds: 0.05)).calledBack.isEmpty)
        request.id = 4
        request.allowedEndpoints = [EndpointID(0)]
        #expect(scheduler.cancelled(3, now: Instant(seconds: 0.05)).isEmpty)
        #expect(scheduler.submit(request, now: Instant(seconds: 0.05)).calledBack == [1])
    }

    /// With one request of some 1000 tokens a step takes 6.94 ms, with two 7.01 ms.
    @Test(arguments: [nil, 6.97, 8]) func aLimitOnTheTimePerTokenKeepsOthersAway(limit: Double?) {
        var scheduler = makeScheduler(endpoints: 2)
        var limited = chat(1)
        limited.allowedEndpoints = [EndpointID(0)]
        limited.tpotLimitMilliseconds = limit
        _ = scheduler.submit(limited, now: .zero)
        scheduler.firstToken(1, now: Instant(seconds: 0.027))
        for id in 2...3 {
            var other = chat(UInt64(id))
            other.allowedEndpoints = [EndpointID(1)]
            _ = scheduler.submit(other, now: .zero)
            scheduler.firstToken(UInt64(id), now: Instant(seconds: 0.027 + 0.02 * Double(id - 2)))
        }
        let isKeptAway = limit == 6.97
        let place = scheduler.submit(chat(9), now: Instant(seconds: 0.1)).place(of: 9)
        #expect(place == EndpointID(isKeptAway ? 1 : 0))
        _ = scheduler.cancelled(9, now: Instant(seconds: 0.1))
        _ = scheduler.finished(1, AnswerFacts(outputTokens: 200), now: Instant(seconds: 0.2))
        #expect(scheduler.submit(chat(10), now: Instant(seconds: 0.2)).place(of: 10) == EndpointID(0))
    }
}
