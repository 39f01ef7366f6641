import Basics
import Foundation
import Testing

@testable import Lab

@Suite("Intervals over seeds")
struct FigureIntervalTests {
    @Test("Mean and half width are Student's")
    func golden() {
        // Variance 2.5 over 5 values: 2.776 x sqrt(2.5 / 5) = 1.9629.
        let interval = FigureInterval(name: "x", values: [1, 2, 3, 4, 5])
        #expect(interval.mean == 3)
        #expect(abs(interval.halfWidth - 1.9629) < 1e-3)
        #expect(FigureInterval(name: "x", values: [7]).halfWidth == 0)
        #expect(FigureInterval(name: "x", values: [4, 4, 4]).halfWidth == 0)
    }

    @Test(
        "Quantiles beyond the table are those of published tables",
        arguments: [(1, 12.706), (4, 2.776), (20, 2.086), (21, 2.0796), (30, 2.0423), (120, 1.9799), (999, 1.9623)])
    func quantiles(freedom: Int, value: Double) {
        #expect(abs(FigureInterval.quantile(degreesOfFreedom: freedom) - value) < 1e-3)
    }

    @Test("A run over seeds has the figures of each seed's own run")
    func overSeeds() throws {
        var options = LabOptions()
        options.policies = [try Policy(named: "random")]
        options.duration = .seconds(20)
        options.seed = 4
        options.loads = [1]
        var goods: [Double] = []
        for seed in UInt64(4)...6 {
            var single = options
            single.seed = seed
            goods.append(try Lab.run(.named("prefix"), options: single).policies[0].realtime.ttft.p99)
        }
        options.seeds = 3
        let report = try Lab.run(.named("prefix"), options: options)
        let result = try #require(report.policies.first)
        let figure = try #require(result.overSeeds.first { $0.name == "realtime.ttft_ms.p99" })
        #expect(figure == FigureInterval(name: "realtime.ttft_ms.p99", values: goods))
        #expect(figure.halfWidth > 0)
        #expect(result.realtime.ttft.p99 == goods[0], "the report itself is the first seed's")
        let object = try #require(
            try JSONSerialization.jsonObject(with: Data(report.json().utf8)) as? [String: Any])
        #expect(object["seeds"] as? Int == 3)
        let policy = try #require((object["policies"] as? [[String: Any]])?.first)
        let intervals = try #require(policy["over_seeds"] as? [String: [String: Double]])
        #expect(intervals["realtime.ttft_ms.p99"]?.keys.sorted() == ["half_width_95", "mean"])
        #expect(report.text().contains("3 seeds from 4"))
        #expect(report.text().contains("realtime.ttft_ms.p99"))
        #expect(try Lab.run(.named("prefix"), options: options).json() == report.json())
    }

    @Test("So many seeds or loads are refused")
    func bounds() {
        func refuses(_ change: (inout LabOptions) -> Void) -> Bool {
            var options = LabOptions()
            options.duration = .seconds(1)
            change(&options)
            do {
                _ = try options.validatedEngine()
                return false
            } catch { return true }
        }
        #expect(refuses { $0.seeds = 0 })
        #expect(refuses { $0.seeds = 1001 })
        #expect(refuses { $0.loads = [1, 0] })
        #expect(refuses { $0.loads = [.nan] })
        #expect(refuses { $0.loads = Array(repeating: 1, count: 33) })
        #expect(
            refuses {
                $0.scale = 100
                $0.loads = [11]
            })
        #expect(!refuses { $0.loads = [0.5, 3] })
    }
}
