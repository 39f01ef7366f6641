import Foundation
import Telemetry
import Testing
import WeirConfiguration

/// The pages of docs/ that can be wrong without anybody noticing.
@Suite struct DocumentationTests {
    private let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    private func page(_ path: String) throws -> String {
        try String(contentsOf: root.appendingPathComponent(path), encoding: .utf8)
    }

    @Test func theConfigurationPageIsTheOneThatTheProgramPrints() throws {
        let stale = "stale; run: weir config reference > docs/configuration.md"
        #expect(try page("docs/configuration.md") == ConfigurationReference.markdown(), "\(stale)")
    }

    @Test func theMetricsPageIsTheOneThatTheProgramPrints() throws {
        let stale = "stale; run: weir config metrics > docs/metrics.md"
        #expect(try page("docs/metrics.md") == MetricCatalog.markdown(), "\(stale)")
    }

    @Test func everyLinkToAFileLeadsSomewhere() throws {
        let pages = ["README.md", "CHANGELOG.md"] + (try markdown(below: "docs"))
        #expect(pages.count > 8)
        for path in pages {
            let folder = root.appendingPathComponent(path).deletingLastPathComponent()
            for match in try page(path).matches(of: /\]\(([^)#]+)(#[^)]*)?\)/) {
                let target = String(match.1)
                guard !target.contains("://") else { continue }
                let exists = FileManager.default.fileExists(atPath: folder.appendingPathComponent(target).path)
                #expect(exists, "\(path) links to \(target)")
            }
        }
    }

    @Test func everyMetricThatThePagesNameExists() throws {
        let known = Set(MetricCatalog.all.map(\.name))
        for path in try markdown(below: "docs") + ["README.md"] {
            for match in try page(path).matches(of: /`(weir_[a-z_]+)/) {
                #expect(known.contains(String(match.1)), "\(path) names \(match.1)")
            }
        }
    }

    @Test func everyMetricOfTheCatalogueIsFedSomewhere() throws {
        let sources = root.appendingPathComponent("Sources")
        let names = try FileManager.default.subpathsOfDirectory(atPath: sources.path).filter { $0.hasSuffix(".swift") }
        let texts = try names.map { try page("Sources/\($0)") }
        let catalogue = try names.filter { $0.contains("Telemetry/MetricCatalog") }.map { try page("Sources/\($0)") }
        let metrics = catalogue.joined(separator: "\n").matches(of: /static let (\w+) = Metric/)
        #expect(metrics.count == MetricCatalog.all.count)
        for metric in metrics {
            let use = "MetricCatalog.\(metric.1)"
            let isFed = texts.contains { $0.contains("\(use),") || $0.contains("\(use))") }
            #expect(isFed, "\(metric.1) is shown but never set")
        }
    }

    @Test func decisionsAreNumberedWithoutGaps() throws {
        let numbers = try markdown(below: "docs/decisions").compactMap { path in
            path.split(separator: "/").last.flatMap { Int($0.prefix(4)) }
        }
        #expect(numbers.sorted() == Array(1...numbers.count))
    }

    private func markdown(below folder: String) throws -> [String] {
        let names = try FileManager.default.subpathsOfDirectory(atPath: root.appendingPathComponent(folder).path)
        return names.filter { $0.hasSuffix(".md") }.map { "\(folder)/\($0)" }.sorted()
    }
}
