import ReportPage

/// The report of the scenario that measures predictions.
extension LabReport {
    private static let header = [
        "load", "TTFT p50", "p90 ms", "MAPE %", "worst", "bias %", "p90 cover", "TPOT %", "adapted s", "worst",
    ]
    private static let note =
        "Each prediction is made before its outcome is known; the first 1,000 requests of a run do not count. MAPE: mean "
        + "absolute error relative to the outcome, of TTFT, and of TPOT under TPOT. Cover: share of outcomes at or below the predicted 0.9 quantile. "
        + "Adapted: seconds from a change of all engines until the MAPE of the latest 200 answers is at most 12 %. Bars: "
        + "MAPE 12 % at the median load and 18 % near saturation, cover .88 to .92, adapted within 60 s."

    private var rows: [[String]] {
        func text(_ figure: FigureInterval?, scale: Double = 1, places: Int) -> String {
            guard let figure else { return "–" }
            let mean = DecimalText.fixed(figure.mean * scale, places)
            guard options.seeds > 1 else { return mean }
            return mean + " ±" + DecimalText.fixed(figure.halfWidth * scale, places)
        }
        func text(_ value: Double?, scale: Double = 1, places: Int) -> String {
            value.map { DecimalText.fixed($0 * scale, places) } ?? "–"
        }
        return predictions.map { summary in
            [
                summary.name, text(summary.figure("ttft_p50_ms")?.mean, places: 0),
                text(summary.figure("ttft_p90_ms")?.mean, places: 0),
                text(summary.figure("ttft_mape"), scale: 100, places: 1),
                text(summary.largest("ttft_mape"), scale: 100, places: 1),
                text(summary.figure("ttft_bias")?.mean, scale: 100, places: 1),
                text(summary.figure("ttft_p90_coverage"), places: 3),
                text(summary.figure("tpot_mape")?.mean, scale: 100, places: 1),
                text(summary.figure("swap_recovery_s"), places: 1), text(summary.largest("swap_recovery_s"), places: 1),
            ]
        }
    }

    private var predictionSetup: String {
        let seeds = options.seeds > 1 ? "\(options.seeds) seeds from \(options.seed)" : "seed \(options.seed)"
        return "8 engines, bursty mixed traffic, metrics read every 500 ms, \(seeds)"
    }

    func predictionText() -> String {
        var table = TextTable(Self.header)
        for row in rows { table.append(row) }
        return [
            "\(scenario.name): \(scenario.summary)", predictionSetup, "", table.text, Self.wrapped(Self.note),
        ].joined(separator: "\n") + "\n"
    }

    var predictionBody: String {
        let head = Self.header.map { "<th>\(HTMLText.escaped($0))</th>" }.joined()
        let body = rows.map { row in
            "<tr>" + row.map { "<td>\(HTMLText.escaped($0))</td>" }.joined() + "</tr>\n"
        }.joined()
        return """
            <section><p class="soft">\(HTMLText.escaped(predictionSetup)).</p>
            <div class="scroll"><table><tr>\(head)</tr>
            \(body)</table></div></section>
            <footer><p>\(HTMLText.escaped(Self.note))</p></footer>

            """
    }

    static func value(_ summary: PredictionSummary) -> JSONValue {
        .object([
            ("name", .text(summary.name)),
            (
                "over_seeds",
                .object(
                    summary.figures.map { figure in
                        (
                            figure.name,
                            .object([
                                ("mean", .decimal(figure.mean, places: 5)),
                                ("half_width_95", .decimal(figure.halfWidth, places: 5)),
                            ])
                        )
                    })
            ),
            (
                "runs",
                .list(
                    summary.runs.map { run in
                        .object(
                            [("seed", .whole(Int(clamping: run.seed)))]
                                + run.figures.compactMap { figure in
                                    figure.value.map { (figure.name, .decimal($0, places: 5)) }
                                })
                    })
            ),
        ])
    }
}
