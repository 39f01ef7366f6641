import Basics
import EngineModel
import Foundation
import Lab
import Testing

@Suite("Runs")
struct LabRunTests {
    private func options(_ names: String...) throws -> LabOptions {
        var options = LabOptions()
        options.policies = try names.map { name throws(LabError) in try Policy(named: name) }
        options.duration = .seconds(60)
        return options
    }

    @Test("The same seed gives the same bytes, whatever the clock says about the wall time")
    func determinism() throws {
        var options = try options("online-only", "budget-gate", "weir", "oracle-30")
        options.stepNoiseSigma = 0.03
        let first = try Lab.run(.named("colocate"), options: options)
        let second = try Lab.run(.named("colocate"), options: options)
        #expect(first.json() == second.json())
        #expect(first.html() == second.html())
        #expect(first.text() == second.text())
        options.seed = 2
        #expect(try Lab.run(.named("colocate"), options: options).json() != first.json())
    }

    @Test("The clock is only used to report wall time")
    func wallTime() throws {
        var time = 0.0
        let report = try Lab.run(
            .named("colocate"), options: options("online-only"),
            wallClock: {
                time += 1.5
                return time
            })
        #expect(report.policies.map(\.wallSeconds) == [1.5])
    }

    @Test("The JSON object has exactly the promised keys")
    func jsonContract() throws {
        let report = try Lab.run(.named("colocate"), options: options("online-only", "weir"))
        let object = try #require(
            try JSONSerialization.jsonObject(with: Data(report.json().utf8)) as? [String: Any])
        #expect(
            Set(object.keys) == [
                "scenario", "seed", "trace", "scale", "engine", "replicas", "policies", "virtual_s", "wall_s",
            ])
        #expect(object["scenario"] as? String == "colocate")
        #expect(object["engine"] as? String == "llama-8b-h100")
        let policies = try #require(object["policies"] as? [[String: Any]])
        #expect(policies.map { $0["name"] as? String } == ["online-only", "weir"])
        for policy in policies {
            #expect(Set(policy.keys) == ["name", "realtime", "batch", "virtual_s", "wall_s"])
            let realtime = try #require(policy["realtime"] as? [String: Any])
            #expect(Set(realtime.keys) == ["requests", "good", "rejected", "ttft_ms", "tpot_ms"])
            for spread in ["ttft_ms", "tpot_ms"] {
                let values = try #require(realtime[spread] as? [String: Double])
                #expect(Set(values.keys) == ["p50", "p90", "p99"])
                #expect(values["p50", default: 0] > 0)
            }
            let batch = try #require(policy["batch"] as? [String: Any])
            #expect(
                Set(batch.keys) == [
                    "submitted", "served", "dropped", "late", "requests_per_s", "input_tokens_per_s",
                    "output_tokens_per_s", "wasted_tokens", "attempts",
                ])
        }
    }

    @Test("File names reach JSON and page as text, not as markup")
    func escaping() throws {
        let csv = "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46,10,5\n2023-11-16 18:15:47,10,1\n"
        let name = "a\"<b>&\n\u{1}.csv"
        let report = try Lab.run(
            .named("colocate"), options: options("online-only", "ungated-1"),
            files: LabFiles(trace: LabFile(name: name, bytes: Array(csv.utf8))))
        let object = try JSONSerialization.jsonObject(with: Data(report.json().utf8)) as? [String: Any]
        #expect(object?["trace"] as? String == name)
        #expect(!report.html().contains("<b>"))
    }

    @Test("The page needs no other resource and names every policy")
    func page() throws {
        let report = try Lab.run(
            .named("step-surge"), options: options("online-only", "ungated-8", "ungated-9", "weir"))
        let page = report.html()
        for outside in ["http:", "https:", "src=", "href=", "url(", "@import", "<script"] {
            #expect(!page.contains(outside), "\(outside)")
        }
        for policy in report.policies { #expect(page.contains(">\(policy.policy.name)<")) }
        #expect(page.contains("prefers-color-scheme: dark"))
        #expect(!page.contains("nan") && !page.contains("inf,"))
        #expect(page.hasSuffix("</html>\n"))
    }

    @Test("A surge is reported with the time above the step limit")
    func surge() throws {
        var options = try options("online-only", "ungated-64")
        options.duration = nil
        let results = try Lab.run(.named("step-surge"), options: options).policies
        #expect(try #require(results[0].surge).overLimitSeconds == 0)
        let open = try #require(results[1].surge)
        #expect(open.overLimitSeconds > 10)
        #expect(open.worstStepMilliseconds > open.limitMilliseconds)
    }

    @Test("Calibration rows reach all three forms of the report")
    func calibration() throws {
        let report = try Lab.run(.named("calibrate"), options: LabOptions())
        #expect(report.calibration.count == 8)
        #expect(report.isWithinBounds)
        let object = try JSONSerialization.jsonObject(with: Data(report.json().utf8)) as? [String: Any]
        #expect((object?["rows"] as? [Any])?.count == 8)
        #expect(object?["within_bounds"] as? Bool == report.isWithinBounds)
        for row in report.calibration {
            #expect(report.text().contains(row.label))
            #expect(report.html().contains(row.label))
        }
    }

    @Test(
        "Policy names read back as themselves",
        arguments: [
            "online-only", "direct", "ungated-64", "engine-priority-64", "live-cap-80", "budget-gate", "budget-gate-48",
            "weir", "weir-engine-priority", "oracle-30",
        ])
    func policyNames(name: String) throws {
        #expect(try Policy(named: name).name == name)
    }

    @Test(
        "Unknown names are refused",
        arguments: ["", "ungated", "ungated-", "ungated-0", "ungated--3", "oracle-x", "weir-9", "Weir", "oracle-99999"])
    func unknownPolicies(name: String) {
        #expect(throws: LabError.unknownPolicy(name)) { try Policy(named: name) }
    }

    @Test("Bad options are refused with a sentence that says what is known")
    func badOptions() throws {
        #expect(throws: LabError.unknownScenario("x")) { try Scenario.named("x") }
        #expect(throws: LabError.unknownFormat("x")) { try TraceFormat(named: "x") }
        #expect(LabError.unknownScenario("x").description.contains("push-story"))
        #expect(LabError.unknownPolicy("x").description.contains("oracle-T"))
        #expect(LabError.badLine(file: "f.csv", line: 7, reason: "why").description == "f.csv:7: why")
        func refused(_ change: (inout LabOptions) -> Void) -> LabError? {
            var options = LabOptions()
            options.policies = [.onlineOnly]
            options.duration = .seconds(1)
            change(&options)
            do {
                _ = try Lab.run(.named("colocate"), options: options)
                return nil
            } catch {
                return error as LabError
            }
        }
        #expect(refused { $0.scale = 0 } != nil)
        #expect(refused { $0.scale = .nan } != nil)
        #expect(refused { $0.replicas = 0 } != nil)
        #expect(refused { $0.replicas = 257 } != nil)
        #expect(refused { $0.duration = .zero } != nil)
        #expect(refused { $0.messages = -1 } != nil)
        #expect(refused { $0.messagesPerSecond = 0 } != nil)
        #expect(refused { $0.stepNoiseSigma = -1 } != nil)
        #expect(refused { $0.engine = "gpt" } == .unknownEngine("gpt"))
        #expect(refused { $0.policies = [.direct] } == .policyNeedsPush("direct"))
        #expect(refused { _ in } == nil)
        let offline = LabFile(name: "o", bytes: Array("num_prefill_tokens,num_decode_tokens\n500000,2\n".utf8))
        #expect(throws: LabError.self) {
            try Lab.run(.named("colocate"), options: LabOptions(), files: LabFiles(offline: offline))
        }
        let years =
            "{\"timestamp\": 0, \"input_length\": 1, \"output_length\": 1}\n"
            + "{\"timestamp\": 90000000000, \"input_length\": 1, \"output_length\": 1}"
        var options = LabOptions()
        options.format = .mooncake
        #expect(throws: LabError.self) {
            try Lab.run(
                .named("colocate"), options: options,
                files: LabFiles(trace: LabFile(name: "t", bytes: Array(years.utf8))))
        }
    }
}
