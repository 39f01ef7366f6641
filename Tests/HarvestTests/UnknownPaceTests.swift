import Basics
import Harvest
import Pool
import Testing

/// How far batch work goes on an endpoint that nobody has seen carry so much.
@Suite struct UnknownPaceTests {
    private let batch = RequestDemand(promptTokens: 300, expectedOutputTokens: 100)
    private let chat = RequestDemand(promptTokens: 400, expectedOutputTokens: 100)

    private func endpoint(realtime: Int, sheddable: Int = 0) -> Endpoint {
        let model = StepTimeModel(
            baseMilliseconds: 7, perDecodeMilliseconds: 0.02, perContextTokenMilliseconds: 5e-5,
            perPrefillTokenMilliseconds: 0.02)
        var endpoint = Endpoint(
            name: "a", capacity: .init(stepTime: model, kvTokens: 421_000, maxConcurrentRequests: 256))
        for _ in 0..<realtime { endpoint.load.reserve(chat, .realtime) }
        for _ in 0..<sheddable { endpoint.load.reserve(batch, .sheddable) }
        return endpoint
    }

    private func allowed(_ harvest: inout HarvestController, _ endpoint: Endpoint, at seconds: Double) -> Int {
        harvest.judge(batch, on: endpoint, backlog: .init(), now: Instant(seconds: seconds)).allowedBatchRequests
    }

    @Test func besideUsersAnEndpointCarriesAtMostTwiceWhatItWasSeenToCarry() {
        var harvest = HarvestController(configuration: .init(), now: .zero)
        harvest.realtimePlaced(chat, now: .zero)
        #expect(allowed(&harvest, endpoint(realtime: 1), at: 0) == 3)
        harvest.requestsOfKnownPace = 10
        #expect(allowed(&harvest, endpoint(realtime: 1), at: 0) == 19)
        #expect(allowed(&harvest, endpoint(realtime: 30), at: 0) == 0)
        harvest.requestsOfKnownPace = 1e9
        let most = allowed(&harvest, endpoint(realtime: 1), at: 0)
        #expect(most > 40, "then the time per token decides")
    }

    @Test func whereNoUsersAreNothingIsToBeFeared() {
        var harvest = HarvestController(configuration: .init(), now: .zero)
        #expect(allowed(&harvest, endpoint(realtime: 0), at: 0) > 40)
        harvest.realtimePlaced(chat, now: .zero)
        #expect(allowed(&harvest, endpoint(realtime: 0), at: 0) == 4)
        #expect(allowed(&harvest, endpoint(realtime: 0), at: 60) > 40)
    }
}
