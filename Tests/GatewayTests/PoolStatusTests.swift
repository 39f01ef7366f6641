import Basics
import Pool
import Testing

@testable import Gateway
@testable import Harvest
@testable import PoolScheduler

@Suite("Saturation, from the state of its endpoints")
struct PoolStatusTests {
    private func endpoint(
        realtime: Int = 0, batch: Int = 0, foreign: Int = 0, cap: Double = 100, allowed: Int = 0,
        limit: HarvestLimit? = nil, isUp: Bool = true
    ) -> EndpointStatus {
        var load = EndpointLoad()
        let demand = RequestDemand(promptTokens: 100, expectedOutputTokens: 100)
        for _ in 0..<realtime { load.reserve(demand, .realtime) }
        for _ in 0..<batch { load.reserve(demand, .sheddable) }
        let model = StepTimeModel(
            baseMilliseconds: 8, perDecodeMilliseconds: 0.02, perContextTokenMilliseconds: 0,
            perPrefillTokenMilliseconds: 0.02)
        return EndpointStatus(
            name: "a", isUp: isUp, load: load, foreignRequests: foreign,
            capacity: EndpointCapacity(stepTime: model, kvTokens: nil, maxConcurrentRequests: 50),
            harvest: HarvestState(
                requestCap: cap, reserveMilliseconds: 0, allowedBatchRequests: allowed, limit: limit), reports: true)
    }

    private func saturation(_ endpoints: [EndpointStatus], waiting: [BandStatus] = []) -> Double {
        PoolStatus(
            name: "p", models: [], endpoints: endpoints, queue: waiting, requests: 0, counters: SchedulerCounters()
        ).saturation
    }

    @Test("is the share of the places taken")
    func share() {
        // 20 run, and 20 more batch requests could start.
        #expect(saturation([endpoint(realtime: 10, batch: 10, allowed: 30)]) == 0.5)
        // No more than the endpoint's 50 places, whatever steps allow.
        #expect(saturation([endpoint(realtime: 25, allowed: 90)]) == 0.5)
        #expect(saturation([endpoint(foreign: 5, allowed: 15)]) == 0.25)
        #expect(saturation([endpoint(allowed: 30)]) == 0)
        // The prompts of batch work have to wait for a moment, but there is room.
        #expect(saturation([endpoint(batch: 10, allowed: 40, limit: .prefill)]) == 0.25)
    }

    @Test("is 1 where no batch request may start, and more where real-time work exceeds what fits")
    func full() {
        for limit in HarvestLimit.allCases where limit != .prefill {
            #expect(saturation([endpoint(realtime: 2, allowed: 9, limit: limit)]) == 1, "\(limit)")
        }
        #expect(saturation([endpoint(realtime: 30, cap: 20, limit: .stepTime)]) == 1.5)
        #expect(saturation([endpoint(realtime: 20, foreign: 10, cap: 10, limit: .stepTime)]) == 1.5)
        #expect(saturation([endpoint(realtime: 3, cap: 0, limit: .stepTime)]) == 3)
    }

    @Test("is the mean over the endpoints that are up, and 1 without any or while real-time requests wait")
    func pool() {
        let half = endpoint(realtime: 10, allowed: 10)
        #expect(saturation([half, endpoint(allowed: 9), endpoint(isUp: false)]) == 0.25)
        #expect(saturation([endpoint(isUp: false)]) == 1)
        #expect(saturation([half], waiting: [BandStatus(priority: 0, requests: 1, bytes: 0)]) == 1)
        #expect(saturation([half], waiting: [BandStatus(priority: -1, requests: 1, bytes: 0)]) == 0.5)
    }
}
