import Harvest
import ReportPage

/// The plots of a report: bars per policy, then what happened over time, then distributions.
struct PolicyPlotPage {
    let report: LabReport
    private let classes: [String]

    init(report: LabReport) {
        self.report = report
        classes = PageStyle.classes(for: report.policies.map(\.policy))
    }

    /// All sections.
    var sections: String {
        guard !report.policies.isEmpty else { return "" }
        // So many lines would hide each other.
        if report.scenario.kind == .gates { return bars }
        if report.policies.contains(where: { $0.load != nil }) { return "" }
        return bars + timelines + distributions
    }

    private var styled: [(result: PolicyResult, style: String)] {
        zip(report.policies, classes).map { (result: $0.0, style: $0.1) }
    }

    private var ttftLimit: Double { report.options.harvest.ttftLimitMilliseconds }

    private var tpotLimit: Double { report.options.harvest.tpotLimitMilliseconds }

    private var bars: String {
        let good = BarPlot(
            title: "Real-time requests that were good",
            description: "Share within both limits.",
            bars: styled.map { entry in
                BarPlot.Bar(
                    name: entry.result.policy.name, style: entry.style, value: entry.result.realtime.good,
                    text: DecimalText.fixed(entry.result.realtime.good * 100, 2) + " %")
            }, full: 1)
        let working = styled.filter { $0.result.policy != .onlineOnly }
        let highest = working.map(\.result.batch.requestsPerSecond).max() ?? 0
        let oracle = working.first { if case .oracle = $0.result.policy { true } else { false } }
        let harvest = BarPlot(
            title: "Batch requests finished per second",
            description: "While the trace lasted.",
            bars: working.map { entry in
                BarPlot.Bar(
                    name: entry.result.policy.name, style: entry.style, value: entry.result.batch.requestsPerSecond,
                    text: DecimalText.fixed(entry.result.batch.requestsPerSecond, 2))
            }, full: highest,
            mark: oracle.map { (value: $0.result.batch.requestsPerSecond, label: $0.result.policy.name) })
        return "<section><h2>At a glance</h2><div class=\"pair\">\(good.figure)\(harvest.figure)</div></section>\n"
    }

    private var legend: String {
        let items = styled.map { entry in
            "<li><svg viewBox=\"0 0 34 10\" aria-hidden=\"true\"><line class=\"line \(entry.style)\" x1=\"1\" x2=\"33\" "
                + "y1=\"5\" y2=\"5\"/></svg>\(HTMLText.escaped(entry.result.policy.name))</li>"
        }
        return "<ul class=\"legend\">\(items.joined())</ul>\n"
    }

    // MARK: Over time

    private var timelines: String {
        guard let first = report.policies.first else { return "" }
        // A pile of messages may outlast the trace; an endless job is cut off with it.
        let drains = report.policies.compactMap { $0.drain?.makespanSeconds }
        let end = max(report.traceSeconds, drains.max() ?? 0)
        let time = PlotAxis.time(upTo: min(end, 4 * max(report.traceSeconds, 1)))
        func points(_ values: [Double?], _ plots: PolicyPlots) -> [(x: Double, y: Double)?] {
            values.enumerated().map { index, value in
                let x = (Double(index) + 0.5) * plots.binSeconds
                guard let value, x <= time.upper else { return nil }
                return (x: x, y: value)
            }
        }
        func plot(
            _ title: String, _ description: String, _ axis: PlotAxis, _ label: String, height: Double,
            limit: LinePlot.Limit? = nil, series: [LinePlot.Series]
        ) -> String {
            LinePlot(
                title: title, description: description, xAxis: time, yAxis: axis, xLabel: "time, minutes",
                yLabel: label, xText: { minutes($0) }, yText: { plain($0) }, series: series, limit: limit,
                height: height
            ).figure
        }
        func lines(_ values: (PolicyPlots) -> [Double?], batchOnly: Bool = false) -> [LinePlot.Series] {
            styled.filter { !batchOnly || $0.result.policy != .onlineOnly }.map { entry in
                LinePlot.Series(
                    name: entry.result.policy.name, style: entry.style,
                    points: points(values(entry.result.plots), entry.result.plots))
            }
        }
        let ttft = lines { $0.ttft95 }
        let tpot = lines { $0.tpot95 }
        let batch = lines({ $0.batchInFlight }, batchOnly: true)
        let bin = DecimalText.fixed(first.plots.binSeconds, first.plots.binSeconds < 10 ? 1 : 0)
        return "<section><h2>Over time</h2><p class=\"soft\">Each point covers \(bin) s.</p>\n\(legend)"
            + plot(
                "Real-time arrivals", "Requests per second that came; the same for every policy.",
                .linear(upTo: highest(first.plots.arrivals), intervals: 3), "requests/s", height: 170,
                series: [
                    LinePlot.Series(
                        name: "arrivals", style: "p-online", points: points(first.plots.arrivals, first.plots),
                        isFilled: true)
                ])
            + plot(
                "Batch requests in flight", "In the whole pool, on average.",
                .linear(upTo: highest(batch.flatMap { $0.points.map { $0?.y } })), "requests", height: 230,
                series: batch)
            + plot(
                "Time to first token", "95th percentile of the requests that came in each interval; logarithmic.",
                logarithmic(ttft, including: ttftLimit), "ms", height: 260,
                limit: .horizontal(ttftLimit, label: "limit \(plain(ttftLimit)) ms"), series: ttft)
            + plot(
                "Time per output token", "95th percentile of the requests that came in each interval.",
                .linear(upTo: max(highest(tpot.flatMap { $0.points.map { $0?.y } }), tpotLimit * 1.1)), "ms",
                height: 260, limit: .horizontal(tpotLimit, label: "limit \(plain(tpotLimit)) ms"), series: tpot)
            + "</section>\n"
    }

    // MARK: Distributions

    private var distributions: String {
        func curve(_ values: (PolicyPlots) -> [Double]) -> [LinePlot.Series] {
            styled.map { entry in
                LinePlot.Series(
                    name: entry.result.policy.name, style: entry.style,
                    points: zip(values(entry.result.plots), PolicyPlots.quantiles).map { (x: $0.0, y: $0.1 * 100) })
            }
        }
        func plot(
            _ title: String, _ axis: PlotAxis, limit: Double, series: [LinePlot.Series]
        ) -> String {
            LinePlot(
                title: title, description: "Share of real-time requests at or below; further left is better.",
                xAxis: axis, yAxis: .linear(upTo: 100), xLabel: "ms", yLabel: "% of requests", xText: { plain($0) },
                yText: { plain($0) }, series: series,
                limit: .vertical(limit, label: "limit"), width: 480, height: 280
            ).figure
        }
        let ttft = curve(\.ttftCurve)
        let tpot = curve(\.tpotCurve)
        let tpotEnd = max(highest(tpot.flatMap { $0.points.map { $0?.x } }), tpotLimit * 1.1)
        return "<section><h2>Distributions</h2>\(legend)<div class=\"pair\">"
            + plot(
                "Time to first token (logarithmic)", logarithmic(ttft, including: ttftLimit, alongX: true),
                limit: ttftLimit, series: ttft)
            + plot("Time per output token", .linear(upTo: tpotEnd), limit: tpotLimit, series: tpot)
            + "</div></section>\n"
    }

    // MARK: Axes

    private func highest(_ values: [Double?]) -> Double { values.compactMap { $0 }.max() ?? 0 }

    private func logarithmic(
        _ series: [LinePlot.Series], including limit: Double, alongX: Bool = false
    ) -> PlotAxis {
        let values = series.flatMap { $0.points.compactMap { $0 }.map { alongX ? $0.x : $0.y } }.filter { $0 > 0 }
        return .logarithmic(
            from: min(values.min() ?? limit, limit), to: max(values.max() ?? limit, limit), maxTicks: alongX ? 8 : 12)
    }

    private func plain(_ value: Double) -> String {
        if value >= 1000, value == value.rounded() { return DecimalText.grouped(Int(value)) }
        return DecimalText.fixed(value, value == value.rounded() ? 0 : (value * 10 == (value * 10).rounded() ? 1 : 2))
    }

    private func minutes(_ seconds: Double) -> String { plain(seconds / 60) }
}
