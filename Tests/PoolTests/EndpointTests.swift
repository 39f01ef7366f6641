import Basics
import Pool
import Testing

private let model = StepTimeModel(
    baseMilliseconds: 6.86, perDecodeMilliseconds: 0.022, perContextTokenMilliseconds: 5.5e-5,
    perPrefillTokenMilliseconds: 0.0202)

@Suite struct EndpointTests {
    @Test func aReservationIsReleasedExactly() {
        var load = EndpointLoad()
        let first = RequestDemand(promptTokens: 100, expectedOutputTokens: 20, uncachedPromptTokens: 60)
        let second = RequestDemand(promptTokens: 1000, expectedOutputTokens: 50)
        load.reserve(first, .realtime)
        load.reserve(second, .sheddable)
        #expect(load.pendingPrefillTokens == 1060)
        #expect(load.reservedKVTokens == 1170)
        load.firstToken(first)
        #expect(load.pendingPrefillTokens == 1000)
        #expect(load.requestsAwaitingFirstToken == 1)
        load.release(first, .realtime, hadFirstToken: true)
        load.release(second, .sheddable, hadFirstToken: false)
        #expect(load == EndpointLoad())
    }

    @Test func concurrencyAndKVCacheBoundWhatIsAccepted() {
        var endpoint = Endpoint(
            name: "a", capacity: .init(stepTime: model, kvTokens: 1000, maxConcurrentRequests: 2))
        let small = RequestDemand(promptTokens: 100, expectedOutputTokens: 100)
        let large = RequestDemand(promptTokens: 900, expectedOutputTokens: 100)
        #expect(endpoint.accepts(large, now: .zero))
        endpoint.load.reserve(small, .realtime)
        #expect(!endpoint.accepts(large, now: .zero))
        #expect(endpoint.accepts(small, now: .zero))
        endpoint.load.reserve(small, .realtime)
        #expect(!endpoint.accepts(small, now: .zero))
        endpoint.load.release(small, .realtime, hadFirstToken: false)
        endpoint.isUp = false
        #expect(!endpoint.accepts(small, now: .zero))
    }

    @Test func aRequestLargerThanTheCacheReachesAnIdleEndpointWhoseErrorIsTheAnswer() {
        let endpoint = Endpoint(name: "a", capacity: .init(stepTime: model, kvTokens: 10, maxConcurrentRequests: 2))
        #expect(endpoint.accepts(RequestDemand(promptTokens: 100, expectedOutputTokens: 1), now: .zero))
    }

    @Test func foreignLoadNeedsThreeScrapesThatAgreeAndLapses() {
        var foreign = ForeignLoad()
        foreign.observe(scrapedRequests: 9, ownRequests: 4, now: Instant(seconds: 1))
        foreign.observe(scrapedRequests: 9, ownRequests: 6, now: Instant(seconds: 2))
        #expect(foreign.requests(now: Instant(seconds: 2)) == 0)
        foreign.observe(scrapedRequests: 9, ownRequests: 5, now: Instant(seconds: 3))
        #expect(foreign.requests(now: Instant(seconds: 3)) == 3)
        #expect(foreign.requests(now: Instant(seconds: 20)) == 0)
    }
}
