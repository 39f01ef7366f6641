import Basics
import Pool
import PoolScheduler
import Testing

/// Requests for a LoRA adapter go where it is loaded, as far as that is worth it.
@Suite struct AdapterTests {
    private func wanting(_ adapter: String?, _ id: UInt64) -> PoolRequest {
        var request = chat(id)
        request.adapter = adapter
        return request
    }

    @Test func anAdapterIsUsedWhereItIs() {
        var scheduler = makeScheduler(endpoints: 4)
        for endpoint in 0..<4 {
            let report = AdapterReport(active: endpoint == 2 ? ["tuned"] : ["other"], limit: 1)
            _ = scheduler.scraped(EndpointID(endpoint), ScrapedMetrics(adapters: report), now: .zero)
        }
        for id in 1...6 as ClosedRange<UInt64> {
            #expect(scheduler.serve(wanting("tuned", id), now: Instant(seconds: Double(id) * 2)) == EndpointID(2))
        }
        let others = (10...13 as ClosedRange<UInt64>).map {
            scheduler.serve(wanting(nil, $0), now: Instant(seconds: Double($0) * 2))?.index
        }
        #expect(Set(others).count > 1, "those without an adapter are not drawn anywhere")
    }

    /// Engines report every half second; a burst that comes sooner must not load the adapter everywhere.
    @Test func aBurstFollowsItsFirstRequest() {
        var scheduler = makeScheduler(endpoints: 4)
        for endpoint in 0..<4 {
            _ = scheduler.scraped(EndpointID(endpoint), ScrapedMetrics(adapters: AdapterReport(limit: 2)), now: .zero)
        }
        let places = (1...4 as ClosedRange<UInt64>).map { id in
            scheduler.submit(wanting("tuned", id), now: Instant(seconds: 0.001 * Double(id))).place(of: id)
        }
        #expect(places[0] != nil && Set(places).count == 1)
    }

    @Test func aLongQueueIsWorseThanLoadingIt() {
        var scheduler = makeScheduler(endpoints: 2)
        for endpoint in 0..<2 {
            let report = AdapterReport(active: endpoint == 0 ? ["tuned"] : [], limit: 4)
            _ = scheduler.scraped(EndpointID(endpoint), ScrapedMetrics(adapters: report), now: .zero)
        }
        var long = wanting(nil, 1)
        long.promptTokens = 60_000
        long.allowedEndpoints = [EndpointID(0)]
        #expect(scheduler.submit(long, now: .zero).place(of: 1) == EndpointID(0))
        #expect(scheduler.submit(wanting("tuned", 2), now: .zero).place(of: 2) == EndpointID(1))
    }
}
