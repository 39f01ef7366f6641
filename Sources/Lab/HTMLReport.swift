import EngineModel
import Harvest
import ReportPage

extension LabReport {
    /// The report as one page that needs nothing else: style and plots are inside, for light and dark screens.
    public func html() -> String {
        let content = """
            <header>
            <h1><small>Weir lab</small>\(HTMLText.escaped(scenario.name))</h1>
            <p class="lead">\(HTMLText.escaped(scenario.summary))</p>
            \(isAboutPolicies ? "<p class=\"soft\">\(HTMLText.escaped(setupLine)).</p>" : "")
            </header>
            \(isAboutPolicies ? policyBody : predictions.isEmpty ? calibrationBody : predictionBody)
            """
        return HTMLPage(title: "Weir lab: \(scenario.name)", content: content).text
    }

    private var isAboutPolicies: Bool { calibration.isEmpty && predictions.isEmpty }

    private var policyBody: String {
        "<section><h2>Results</h2>\n\(findings)\(resultTable)</section>\n"
            + (GateTable(policies)?.html ?? "")
            + RoutingTable.all(policies).map(\.html).joined() + PolicyPlotPage(report: self).sections
            + "<footer>\(footnotes)</footer>\n"
    }

    private var findings: String {
        let items = Findings(report: self).sentences
        guard !items.isEmpty else { return "" }
        return "<ul class=\"findings\">" + items.map { "<li>\(HTMLText.escaped($0))</li>" }.joined() + "</ul>\n"
    }

    private var resultTable: String {
        var rows = ""
        for result in policies {
            let (realtime, batch) = (result.realtime, result.batch)
            let cells = [
                HTMLText.escaped(RoutingTable.label(result)), DecimalText.fixed(realtime.good * 100, 2) + " %",
                DecimalText.fixed(realtime.ttft.p50, 0), DecimalText.fixed(realtime.ttft.p99, 0),
                DecimalText.fixed(realtime.tpot.p50, 1), DecimalText.fixed(realtime.tpot.p99, 1),
                DecimalText.fixed(batch.requestsPerSecond, 2), DecimalText.grouped(batch.served),
                DecimalText.grouped(batch.dropped), DecimalText.grouped(batch.wastedTokens),
            ]
            var isOwn = false
            if case .weir = result.policy { isOwn = true }
            rows += isOwn ? "<tr class=\"own\">" : "<tr>"
            rows += cells.map { "<td>\($0)</td>" }.joined() + "</tr>\n"
        }
        return """
            <div class="scroll"><table>
            <tr><th></th><th>real-time</th><th colspan="2">TTFT ms</th><th colspan="2">TPOT ms</th>\
            <th colspan="4">batch</th></tr>
            <tr><th>policy</th><th>good</th><th>p50</th><th>p99</th><th>p50</th><th>p99</th><th>requests/s</th>\
            <th>served</th><th>dropped</th><th>wasted tokens</th></tr>
            \(rows)</table></div>

            """
    }

    private var footnotes: String {
        var notes = [
            "\(limitsLine). A rejected request counts as a miss.",
            "Virtual time: the scheduler that ships, around an engine model whose step time was measured on hardware. "
                + "TTFT includes queueing and 20 ms of HTTP and validation. Compare policies; absolute p99 values are "
                + "good to 10 to 20 %.",
        ]
        if scenario.kind == .pushStory {
            notes.append(
                "Served counts all messages of the run; requests/s those that finished while the trace lasted.")
        }
        if traceName.contains("generated") || jobName.contains("generated") {
            notes.append(
                "Generated inputs imitate Azure/AzurePublicDataset (CC-BY-4.0, Patel et al., Splitwise, ISCA 2024) and "
                    + "the arXiv summarisation lengths of microsoft/vidur (MIT).")
        }
        notes.append("Reproduce: weir lab run \(scenario.name) --seed \(options.seed) with the same options and files.")
        return notes.map { "<p>\(HTMLText.escaped($0))</p>" }.joined(separator: "\n")
    }

    private var calibrationBody: String {
        func error(_ value: Double, _ bound: Double) -> String {
            let text = (value > 0 ? "+" : "") + DecimalText.fixed(value * 100, 1) + " %"
            return "<td class=\"\(abs(value) <= bound ? "good" : "bad")\">\(text)</td>"
        }
        let bounds = CalibrationRow.bounds
        var rows = ""
        for row in calibration {
            let (measured, modelled, errors) = (row.measured, row.modelled, row.errors)
            rows += "<tr><td>\(HTMLText.escaped(row.label))</td><td>\(DecimalText.fixed(row.offeredPerSecond, 1))</td>"
            rows += "<td>\(DecimalText.fixed(measured.requestsPerSecond, 1))</td>"
            rows += "<td>\(DecimalText.fixed(modelled.requestsPerSecond, 1))</td>"
            rows += error(errors.requestsPerSecond, bounds.requestsPerSecond)
            rows += "<td>\(DecimalText.fixed(measured.millisecondsPerToken, 2))</td>"
            rows += "<td>\(DecimalText.fixed(modelled.millisecondsPerToken, 2))</td>"
            rows += error(errors.millisecondsPerToken, bounds.millisecondsPerToken)
            rows += "<td>\(DecimalText.fixed(measured.timeToFirstTokenMilliseconds, 0))</td>"
            rows += "<td>\(DecimalText.fixed(modelled.timeToFirstTokenMilliseconds, 0))</td>"
            rows += error(errors.timeToFirstTokenMilliseconds, bounds.timeToFirstTokenMilliseconds) + "</tr>\n"
        }
        return """
            <section><div class="scroll"><table class="dense">
            <tr><th></th><th>offered</th><th colspan="3">requests/s</th><th colspan="3">ms per token</th>\
            <th colspan="3">mean TTFT ms</th></tr>
            <tr><th>server</th><th>requests/s</th><th>measured</th><th>model</th><th>error</th><th>measured</th>\
            <th>model</th><th>error</th><th>measured</th><th>model</th><th>error</th></tr>
            \(rows)</table></div></section>
            <footer><p>Measured: Llama-3.1-8B (bf16) on vLLM 0.11.0 and one H100-80GB, \
            204 tokens in and 64 out (kubernetes-sigs/inference-perf, KubeCon NA 2025).</p></footer>

            """
    }
}
