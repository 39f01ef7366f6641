import Basics
import ReportPage

/// What the routing scenarios add to a report, as tables for the terminal and for the page.
struct RoutingTable {
    let title: String
    /// Headings, the first one for the policies.
    let header: [String]
    /// One row of cells per policy and load.
    let rows: [[String]]
    /// What the headings mean.
    let note: String

    /// All tables that a report has something for.
    static func all(_ policies: [PolicyResult]) -> [RoutingTable] {
        [routing(policies), herd(policies), fairness(policies), seeds(policies)].compactMap { $0 }
    }

    /// The name of a run: its policy, and its load where there are several.
    static func label(_ result: PolicyResult) -> String {
        result.load.map { "\(result.policy.name) x\(DecimalText.fixed($0, 2))" } ?? result.policy.name
    }

    private static func routing(_ policies: [PolicyResult]) -> RoutingTable? {
        table(
            "Routing",
            [
                "policy", "TTFT mean", "p50", "p90", "p99 ms", "TPOT mean ms", "E2E mean ms", "hits %", "imbalance",
                "rejected",
            ],
            note:
                "hits: prompt tokens that the engines found cached; imbalance: tokens computed by the busiest replica "
                + "over the mean",
            policies
        ) { result in
            guard let routing = result.routing else { return nil }
            let ttft = result.realtime.ttft
            return [
                DecimalText.fixed(routing.ttftMeanMilliseconds, 0), DecimalText.fixed(ttft.p50, 0),
                DecimalText.fixed(ttft.p90, 0), DecimalText.fixed(ttft.p99, 0),
                DecimalText.fixed(routing.tpotMeanMilliseconds, 1),
                DecimalText.fixed(routing.endToEndMeanMilliseconds, 0),
                DecimalText.fixed(routing.prefixHitRatio * 100, 1), DecimalText.fixed(routing.imbalance, 3),
                DecimalText.grouped(result.realtime.rejected),
            ]
        }
    }

    private static func herd(_ policies: [PolicyResult]) -> RoutingTable? {
        func cells(_ burst: HerdFigures.Burst) -> [String] {
            [
                DecimalText.fixed(burst.requestSpread, 3), DecimalText.fixed(burst.tokenSpread, 3),
                DecimalText.fixed(burst.lastFirstTokenMilliseconds / 1000, 1),
            ]
        }
        return table(
            "The burst",
            ["policy", "equal: requests", "tokens", "last TTFT s", "mixed: requests", "tokens", "last TTFT s"],
            note: "requests and uncached prompt tokens of the busiest replica over the mean, of the burst alone",
            policies
        ) { $0.herd.map { cells($0.equal) + cells($0.mixed) } }
    }

    private static func cells(_ band: FairnessFigures.LowBand?) -> [String] {
        guard let band else { return ["-", "-"] }
        return [DecimalText.fixed(band.longestWaitSeconds, 1), DecimalText.fixed(band.rejected * 100, 1)]
    }

    private static func fairness(_ policies: [PolicyResult]) -> RoutingTable? {
        table(
            "Tenants",
            [
                "policy", "p99 alone", "beside ms", "moved %", "rejected", "served %", "tokens/s", "Jain", "of",
                "low band s", "rejected %", "ageing s", "rejected %",
            ],
            note:
                "p99 TTFT of the steady tenants without and beside one at 10 x, how much of what that one asked for it "
                + "got, and what all got; Jain's index of the weighted tokens served to backlogged tenants in a flood; "
                + "the longest wait of a low band under a high band at 1.3 x the pool, and with a bound of "
                + "\(DecimalText.fixed(FairnessTraffic.ageingBound.seconds, 0)) s on it",
            policies
        ) { result in
            guard let fairness = result.fairness else { return nil }
            return [
                DecimalText.fixed(fairness.aloneTTFT99Milliseconds, 0),
                DecimalText.fixed(fairness.besideTTFT99Milliseconds, 0),
                DecimalText.fixed(fairness.inflation * 100, 1), DecimalText.grouped(fairness.othersRejected),
                DecimalText.fixed(fairness.aggressorServed * 100, 1),
                DecimalText.fixed(fairness.besideTokensPerSecond, 0),
                DecimalText.fixed(fairness.jainIndex, 4), String(fairness.backloggedTenants),
            ] + cells(fairness.lowBand) + cells(fairness.ageingLowBand)
        }
    }

    /// Means and intervals: figure by figure, the runs beside each other; without what is zero in a run.
    private static func seeds(_ policies: [PolicyResult]) -> RoutingTable? {
        var names: [String] = []
        for figure in policies.flatMap(\.overSeeds) where !names.contains(figure.name) { names.append(figure.name) }
        let rows = names.flatMap { name in
            policies.compactMap { result -> [String]? in
                guard let figure = result.overSeeds.first(where: { $0.name == name }),
                    figure.mean != 0 || figure.halfWidth != 0
                else { return nil }
                let places = max(abs(figure.mean), figure.halfWidth) >= 100 ? 1 : 4
                return [
                    name, label(result), DecimalText.fixed(figure.mean, places),
                    DecimalText.fixed(figure.halfWidth, places),
                ]
            }
        }
        guard !rows.isEmpty else { return nil }
        return RoutingTable(
            title: "Over all seeds", header: ["figure", "policy", "mean", "+-"], rows: rows,
            note:
                "mean over the seeds and half the width of its 95 % interval (Student); the tables above are the first "
                + "seed's")
    }

    private static func table(
        _ title: String, _ header: [String], note: String, _ policies: [PolicyResult],
        cells: (PolicyResult) -> [String]?
    ) -> RoutingTable? {
        let rows = policies.compactMap { result in cells(result).map { [label(result)] + $0 } }
        return rows.isEmpty ? nil : RoutingTable(title: title, header: header, rows: rows, note: note)
    }

    /// The table as part of a page.
    var html: String {
        func row(_ cells: [String], _ tag: String) -> String {
            "<tr>" + cells.map { "<\(tag)>\(HTMLText.escaped($0))</\(tag)>" }.joined() + "</tr>\n"
        }
        return "<section><h2>\(HTMLText.escaped(title))</h2><p class=\"soft\">\(HTMLText.escaped(note))</p>"
            + "<div class=\"scroll\"><table class=\"dense\">\n" + row(header, "th")
            + rows.map { row($0, "td") }.joined() + "</table></div></section>\n"
    }
}
