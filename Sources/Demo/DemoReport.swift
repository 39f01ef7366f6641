import ReportPage

/// The demo's report: one page that needs nothing else.
struct DemoReport {
    let table: SummaryTable
    let servers: Int
    let seed: UInt64

    /// The page.
    var html: String {
        let content = """
            <header>
            <h1><small>Weir demo</small>One pool, two tempos</h1>
            <p class="lead">Real-time chat and a pile of asynchronous messages share \(servers) simulated model servers.</p>
            <p class="soft">Real sockets, real time; each server behaves like Llama 8B on one H100. Seed \(seed).</p>
            </header>
            <section><h2>Results</h2>\(resultTable)<p class="soft">\(SummaryTable.legend)</p></section>
            <section><h2>At a glance</h2><div class="pair">\(goodBars)\(servedBars)</div></section>
            <section><h2>Over time</h2>\(timelines)</section>
            <footer><p>The direct push gives each message one chance; the queue keeps what does not fit and spends what real-time
            leaves over.</p></footer>
            """
        return HTMLPage(title: "Weir demo", content: content).text
    }

    private var resultTable: String {
        let rows = table.rows.enumerated().map { index, row in
            let tag = index == 0 ? "th" : "td"
            let cells = row.map { "<\(tag)>\(HTMLText.escaped($0))</\(tag)>" }.joined()
            return index == table.rows.count - 1 ? "<tr class=\"own\">\(cells)</tr>" : "<tr>\(cells)</tr>"
        }
        return "<div class=\"scroll\"><table>\(rows.joined(separator: "\n"))</table></div>"
    }

    private var goodBars: String {
        BarPlot(
            title: "Real-time requests that were good", description: "Share within both limits.",
            bars: table.records.map { act, record in
                BarPlot.Bar(
                    name: act.shortName, style: act.style, value: record.goodShare,
                    text: tenths(record.goodShare * 100) + " %")
            }, full: 1
        ).figure
    }

    private var servedBars: String {
        BarPlot(
            title: "Messages that were served", description: "Of those that were submitted.",
            bars: table.records.filter { $0.act != .alone }.map { act, record in
                let share = record.submitted > 0 ? Double(record.served) / Double(record.submitted) : 0
                return BarPlot.Bar(
                    name: act.shortName, style: act.style, value: share, text: tenths(share * 100) + " %")
            }, full: 1
        ).figure
    }

    private var timelines: String {
        table.records.map { act, record in
            let highest = record.pool.map { Double(max($0.realtime, $0.batch)) }.max() ?? 1
            return LinePlot(
                title: act.introduction,
                description: "Requests in flight on all servers together: real-time (grey line) and batch (tinted).",
                xAxis: .time(upTo: record.pool.last?.seconds ?? 1), yAxis: .linear(upTo: highest),
                xLabel: "seconds", yLabel: "requests in flight", xText: { "\(Int($0))" }, yText: { "\(Int($0))" },
                series: [
                    .init(
                        name: "batch", style: act.style,
                        points: record.pool.map { (x: $0.seconds, y: Double($0.batch)) }, isFilled: true),
                    .init(
                        name: "real-time", style: Act.alone.style,
                        points: record.pool.map { (x: $0.seconds, y: Double($0.realtime)) }),
                ], height: 200
            ).figure
        }.joined(separator: "\n")
    }
}

extension Act {
    /// The name beside a bar.
    fileprivate var shortName: String {
        switch self {
        case .alone: "real-time alone"
        case .direct: "direct push"
        case .processor: "Weir's queue"
        }
    }

    /// The class of its marks in the page's style sheet.
    fileprivate var style: String {
        switch self {
        case .alone: "p-online"
        case .direct: "p-direct"
        case .processor: "p-weir"
        }
    }
}
