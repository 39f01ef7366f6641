import Basics
import InferenceAPI
import Pool
import PoolScheduler
import Testing

/// Where lines of batch work go when there are several endpoints.
@Suite struct BatchPlacementTests {
    private func line(_ id: UInt64, group: UInt64) -> PoolRequest {
        var request = message(id, promptTokens: 400)
        let shared = (1...8).map { group * 1000 + $0 }
        request.promptBlocks = PromptBlocks(
            hashes: shared + [group * 1_000_000 + id], unitsPerBlock: 100, units: 950)
        return request
    }

    private func place(_ actions: [SchedulerAction]) -> EndpointID? {
        for case .start(_, let endpoint) in actions { return endpoint }
        return nil
    }

    @Test func linesThatBeginAlikeMeetOnOneEndpoint() {
        var scheduler = makeScheduler(endpoints: 4)
        var homes: [UInt64: EndpointID] = [:]
        for id in 1...24 {
            let group = UInt64(id % 3)
            let now = Instant(seconds: Double(id))
            let endpoint = place(scheduler.submit(line(UInt64(id), group: group), now: now))
            #expect(endpoint != nil)
            if let home = homes[group] { #expect(endpoint == home) } else { homes[group] = endpoint }
        }
    }

    @Test func batchFillsOneEndpointBeforeItTakesAnother() {
        var scheduler = makeScheduler(endpoints: 3)
        var used: Set<EndpointID> = []
        for id in 1...10 {
            let now = Instant(seconds: Double(id))
            if let endpoint = place(scheduler.submit(message(UInt64(id), promptTokens: 100), now: now)) {
                used.insert(endpoint)
            }
            _ = scheduler.tick(now: now + .milliseconds(50))
        }
        #expect(used.count == 1)
        #expect(scheduler.sheddableInFlight == 10)
    }
}
