import Basics
import Pool
import Routing
import Testing

private let fast = StepTimeModel(
    baseMilliseconds: 5, perDecodeMilliseconds: 0.02, perContextTokenMilliseconds: 5e-5,
    perPrefillTokenMilliseconds: 0.02)
private let slow = StepTimeModel(
    baseMilliseconds: 20, perDecodeMilliseconds: 0.02, perContextTokenMilliseconds: 5e-5,
    perPrefillTokenMilliseconds: 0.07)

private func endpoints(_ models: [StepTimeModel]) -> [Endpoint] {
    models.enumerated().map {
        Endpoint(name: "\($0.offset)", capacity: .init(stepTime: $0.element, kvTokens: nil, maxConcurrentRequests: 256))
    }
}

@Suite struct LeastCostRouterTests {
    private let demand = RequestDemand(promptTokens: 1000, expectedOutputTokens: 200)

    @Test func theFasterServerIsChosenUntilItsQueueCostsMore() {
        var router = LeastCostRouter()
        var pool = endpoints([slow, fast])
        #expect(router.pick(for: demand, among: pool, now: .zero) == EndpointID(1))
        pool[1].load.reserve(RequestDemand(promptTokens: 400_000, expectedOutputTokens: 1), .realtime)
        #expect(router.pick(for: demand, among: pool, now: .zero) == EndpointID(0))
    }

    @Test func aBurstPlacedBeforeAnyAnswerSpreadsEvenly() {
        var router = LeastCostRouter()
        var pool = endpoints(Array(repeating: fast, count: 8))
        for _ in 0..<800 {
            guard let pick = router.pick(for: demand, among: pool, now: .zero) else {
                Issue.record("no endpoint accepted")
                return
            }
            pool[pick.index].load.reserve(demand, .realtime)
        }
        #expect(pool.allSatisfy { $0.load.requests == 100 })
    }

    @Test func excludedAndDownEndpointsAreNotPicked() {
        var router = LeastCostRouter()
        var pool = endpoints([fast, fast, fast])
        pool[0].isUp = false
        for _ in 0..<6 {
            #expect(router.pick(for: demand, among: pool, excluding: [EndpointID(2)], now: .zero) == EndpointID(1))
        }
        #expect(
            router.pick(for: demand, among: pool, excluding: [EndpointID(1), EndpointID(2)], now: .zero) == nil)
        #expect(router.pick(for: demand, among: [], now: .zero) == nil)
    }

    @Test func equalCostsAreTakenInTurn() {
        var router = LeastCostRouter()
        let pool = endpoints([fast, fast, fast])
        let picks = (0..<3).compactMap { _ in router.pick(for: demand, among: pool, now: .zero)?.index }
        #expect(Set(picks) == [0, 1, 2])
    }
}
