import Foundation
import Testing

@testable import Telemetry

private func text(_ registry: MetricsRegistry) -> String { String(decoding: registry.render(), as: UTF8.self) }

private let things = Metric.counter(
    "things_total", labels: ["kind", "size"], seriesLimit: 2, "Things \\ seen\nso far.")
private let level = Metric.gauge("level", "The level.")
private let delay = Metric.histogram("delay_seconds", labels: ["pool"], bounds: [0.1, 0.5, 2], "The delay.")

@Suite struct MetricsTests {
    @Test func anExpositionOfEveryTypeIsExact() {
        let registry = MetricsRegistry()
        registry.instrument(things, "b", "line\nfeed").increment(by: 3)
        registry.instrument(things, "a \"quoted\" \\", "2").increment()
        registry.instrument(level).set(-0.25)
        let histogram = registry.instrument(delay, "chat")
        for value in [0.05, 0.1, 0.3, 2, 2.5] { histogram.observe(value) }
        #expect(
            text(registry) == """
                # HELP delay_seconds The delay.
                # TYPE delay_seconds histogram
                delay_seconds_bucket{pool="chat",le="0.1"} 2
                delay_seconds_bucket{pool="chat",le="0.5"} 3
                delay_seconds_bucket{pool="chat",le="2"} 4
                delay_seconds_bucket{pool="chat",le="+Inf"} 5
                delay_seconds_sum{pool="chat"} 4.95
                delay_seconds_count{pool="chat"} 5
                # HELP level The level.
                # TYPE level gauge
                level -0.25
                # HELP things_total Things \\\\ seen\\nso far.
                # TYPE things_total counter
                things_total{kind="a \\"quoted\\" \\\\",size="2"} 1
                things_total{kind="b",size="line\\nfeed"} 3

                """)
    }

    @Test(arguments: [
        (0, "0"), (1, "1"), (-3, "-3"), (0.00005, "5e-05"), (1.5, "1.5"), (1e15, "1000000000000000"),
        (1e300, "1e+300"), (.infinity, "+Inf"), (-.infinity, "-Inf"), (.nan, "NaN"),
    ])
    func numbersAreWrittenAsPrometheusReadsThem(value: Double, expected: String) {
        #expect(ExpositionText.number(value) == expected)
    }

    @Test func theSameLabelsGiveTheSameInstrument() {
        let registry = MetricsRegistry()
        #expect(registry.instrument(things, "a", "1") === registry.instrument(things, "a", "1"))
        #expect(registry.instrument(things, "a", "1") !== registry.instrument(things, "a", "2"))
    }

    @Test func labelValuesBeyondTheLimitShareOneSeries() {
        let registry = MetricsRegistry()
        for kind in ["a", "b", "c", "d", "a"] { registry.instrument(things, kind, "1").increment() }
        let lines = text(registry).split(separator: "\n").filter { !$0.hasPrefix("#") }
        #expect(
            lines == [
                "things_total{kind=\"a\",size=\"1\"} 2", "things_total{kind=\"b\",size=\"1\"} 1",
                "things_total{kind=\"other\",size=\"other\"} 2",
                "weir_metric_series_overflow_total{metric=\"things_total\"} 2",
            ])
    }

    @Test func longLabelValuesAreCut() {
        let registry = MetricsRegistry()
        registry.instrument(things, String(repeating: "é", count: 5000), "1").increment()
        #expect(text(registry).contains("things_total{kind=\"\(String(repeating: "é", count: 64))\",size=\"1\"} 1\n"))
    }

    @Test func sumsAreExactUnderConcurrency() async {
        let registry = MetricsRegistry()
        await withTaskGroup { group in
            for task in 0..<8 {
                group.addTask {
                    let counter = registry.instrument(things, "a", "1")
                    let gauge = registry.instrument(level)
                    let histogram = registry.instrument(delay, "chat")
                    for step in 0..<20_000 {
                        counter.increment()
                        gauge.add(step.isMultiple(of: 2) ? 2 : -1)
                        histogram.observe((task + step).isMultiple(of: 2) ? 0.25 : 4)
                    }
                }
            }
        }
        #expect(registry.instrument(things, "a", "1").value == 160_000)
        #expect(registry.instrument(level).value == 80_000)
        let histogram = registry.instrument(delay, "chat")
        #expect(histogram.count == 160_000)
        #expect(histogram.sum == 80_000 * 4.25)
    }

    @Test func aCounterNeverFalls() {
        let counter = MetricsRegistry().instrument(things, "a", "1")
        counter.increment(by: 5)
        counter.increment(by: -3)
        counter.raise(to: 4)
        #expect(counter.value == 5)
        counter.raise(to: 9)
        #expect(counter.value == 9)
    }

    @Test func noSumOfAmountsEndsTheProcess() {
        let counter = MetricsRegistry().instrument(things, "a", "1")
        for _ in 0..<3 { counter.increment(by: .max) }
        #expect(counter.value == UInt64(Int.max) &* 3)
    }

    @Test func notANumberIsNoObservation() {
        let histogram = MetricsRegistry().instrument(delay, "chat")
        histogram.observe(.nan)
        #expect(histogram.count == 0 && histogram.sum == 0)
    }

    @Test func gaugesAreFilledWhenTheyAreCollected() {
        let registry = MetricsRegistry()
        let gauge = registry.instrument(level)
        registry.onCollect { gauge.add(1) }
        #expect(text(registry).contains("level 1\n"))
        #expect(text(registry).contains("level 2\n"))
    }

    #if os(Linux)
        @Test func theProcessReportsItself() throws {
            let registry = MetricsRegistry()
            ProcessMetrics.register(in: registry, version: "1.2.3")
            #expect(text(registry).contains("weir_build_info{version=\"1.2.3\"} 1\n"))
            #expect(registry.instrument(MetricCatalog.processResidentMemory).value > 1_000_000)
            let before = try #require(ProcessMetrics.openFileDescriptors())
            let extra = (0..<100).map { _ in FileHandle(forReadingAtPath: "/dev/null") }
            // Other tests of this process open and close a few meanwhile.
            #expect(try #require(ProcessMetrics.openFileDescriptors()) >= before + 50)
            #expect(extra.count == 100)
        }
    #endif
}

@Suite struct MetricCatalogTests {
    @Test func namesAreUniqueAndFollowTheConventions() {
        let rows = MetricCatalog.all
        #expect(Set(rows.map(\.name)).count == rows.count)
        for row in rows {
            #expect(row.name.wholeMatch(of: #/(weir|process)(_[a-z]+)+/#) != nil, "\(row.name)")
            #expect((row.kind == .counter) == row.name.hasSuffix("_total"), "\(row.name)")
            #expect(row.help.hasSuffix("."), "\(row.name)")
            if case .histogram(let bounds) = row.kind {
                #expect(row.name.hasSuffix("_seconds"), "\(row.name)")
                #expect(bounds.count <= Histogram.maximumBounds && bounds == bounds.sorted(), "\(row.name)")
            }
        }
    }

    @Test func thePageHasOneLineForEachMetric() {
        let page = MetricCatalog.markdown()
        for row in MetricCatalog.all { #expect(page.contains("| `\(row.name)` | ")) }
        #expect(
            page.contains(
                "| `weir_queue_depth` | gauge | `pool`, `band` | 512 | Requests that wait in the gateway for a place. |"
            ))
    }
}
