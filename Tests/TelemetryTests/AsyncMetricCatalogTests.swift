import Testing

@testable import Telemetry

@Suite struct AsyncMetricCatalogTests {
    @Test func namesAreThoseOfUpstreamAndNoOnesElse() {
        let names = AsyncMetricCatalog.all.map(\.name)
        #expect(Set(names).count == names.count)
        #expect(names.allSatisfy { $0.hasPrefix("llm_d_async_async_") })
        #expect(Set(names).isDisjoint(with: MetricCatalog.all.map(\.name)))
    }

    @Test func everySeriesSaysWhoseItIs() {
        for row in AsyncMetricCatalog.all where row.name != "llm_d_async_async_pool_worker_limit" {
            #expect(row.labels.prefix(3) == ["queue_id", "queue_name", "pool_name"])
        }
    }

    @Test func thePageShowsAllThreeTables() {
        let page = MetricCatalog.markdown()
        for row in AsyncMetricCatalog.all { #expect(page.contains("| `\(row.name)` | ")) }
        #expect(page.split(separator: "| metric | type |").count == 4)
    }
}
