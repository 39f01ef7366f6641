import Testing

@testable import Telemetry

private let served = Metric.gauge("served", labels: ["flow"], seriesLimit: 2, "Served.")

@Suite struct ReplacedLevelsTests {
    private func samples(_ registry: MetricsRegistry) -> [String] {
        String(decoding: registry.render(), as: UTF8.self).split(separator: "\n").map(String.init)
            .filter { !$0.hasPrefix("#") }
    }

    @Test func whatIsNotNamedAnyMoreIsNotToldAnyMore() {
        let registry = MetricsRegistry()
        registry.replace(served, with: [(["a"], 1), (["b"], 2)])
        #expect(samples(registry) == [#"served{flow="a"} 1"#, #"served{flow="b"} 2"#])
        registry.replace(served, with: [(["c"], 3), (["a"], 4)])
        #expect(samples(registry) == [#"served{flow="a"} 4"#, #"served{flow="c"} 3"#])
        registry.replace(served, with: [])
        #expect(registry.render().isEmpty)
    }

    @Test func levelsBeyondTheLimitAreLeftOutAndCounted() {
        let registry = MetricsRegistry()
        registry.replace(served, with: ["a", "b", "c", "d", "a"].enumerated().map { ([$1], Double($0)) })
        #expect(
            samples(registry) == [
                #"served{flow="a"} 4"#, #"served{flow="b"} 1"#,
                #"weir_metric_series_overflow_total{metric="served"} 2"#,
            ])
    }

    @Test func longNamesAreCut() {
        let registry = MetricsRegistry()
        registry.replace(served, with: [([String(repeating: "é", count: 5000)], 1)])
        #expect(samples(registry) == ["served{flow=\"\(String(repeating: "é", count: 64))\"} 1"])
    }
}

@Suite struct RouterMetricCatalogTests {
    @Test func namesAreThoseOfTheRouterInBothVintages() {
        let names = RouterMetricCatalog.all.map(\.name)
        #expect(Set(names).count == names.count)
        #expect(Set(names).isDisjoint(with: MetricCatalog.all.map(\.name)))
        let newer = names.filter { $0.hasPrefix("llm_d_epp_") }
        let older = names.filter { $0.hasPrefix("inference_extension_") || $0.hasPrefix("inference_pool_") }
        #expect(newer.count == older.count && newer.count + older.count == names.count)
        for row in RouterMetricCatalog.all {
            guard case .histogram(let bounds) = row.kind else { continue }
            #expect(bounds.count <= Histogram.maximumBounds && bounds == bounds.sorted(), "\(row.name)")
        }
    }
}
