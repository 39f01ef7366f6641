import ReportPage

/// How gates kept their thresholds, as a table for the terminal and for the page.
struct GateTable {
    /// Headings, the first one for the policies.
    static let header = [
        "policy", "closes at", "sat. mean", "p99", "peak", "over: peak", "mean", "time %", "batch/s", "good %",
    ]
    /// What the headings mean, in sentences.
    static let notes = [
        "Saturation: the mean over replicas of the larger of waiting requests / 5 and KV cache usage / 0.8, watched "
            + "exactly, weighted by time. Over: how far the gate's own signal went beyond the level at which it closes, "
            + "at its peak, on average over all the time, and for what share of it; without a gate, saturation beyond 0.8.",
        "gate-KIND-S keeps up to ceil(budget x workers) requests in flight with readings taken every S seconds; poll-KIND-S "
            + "takes floor(10 x budget) messages each second, as llm-d-async does. 64 workers per replica. gate-aimd stands "
            + "behind a gateway that turns batch work away at saturation 0.8, seen 50 ms late, with Retry-After: 1.",
    ]

    /// One row of cells per policy.
    let rows: [[String]]

    /// The table of a report; nil where nothing was watched.
    init?(_ policies: [PolicyResult]) {
        rows = policies.compactMap { result in
            guard let gate = result.gate else { return nil }
            return [
                result.policy.name, "\(gate.signal) \(DecimalText.fixed(gate.threshold, 2))",
                DecimalText.fixed(gate.meanSaturation, 3), DecimalText.fixed(gate.p99Saturation, 3),
                DecimalText.fixed(gate.peakSaturation, 3), DecimalText.fixed(gate.peakOvershoot, 3),
                DecimalText.fixed(gate.meanOvershoot, 4), DecimalText.fixed(gate.shareBeyond * 100, 1),
                DecimalText.fixed(result.batch.requestsPerSecond, 2), DecimalText.fixed(result.realtime.good * 100, 2),
            ]
        }
        if rows.isEmpty { return nil }
    }

    /// The table as part of a page.
    var html: String {
        func row(_ cells: [String], _ tag: String) -> String {
            "<tr>" + cells.map { "<\(tag)>\(HTMLText.escaped($0))</\(tag)>" }.joined() + "</tr>\n"
        }
        return "<section><h2>Beyond the threshold</h2>"
            + Self.notes.map { "<p class=\"soft\">\(HTMLText.escaped($0))</p>" }.joined()
            + "<div class=\"scroll\"><table class=\"dense\">\n" + row(Self.header, "th")
            + rows.map { row($0, "td") }.joined() + "</table></div></section>\n"
    }
}
