/// Lines over a common axis, drawn as SVG. Colours come from the page's style sheet by class name.
package struct LinePlot {
    /// One line.
    package struct Series {
        let name: String
        /// CSS class of the line.
        let style: String
        /// Points from left to right; nil breaks the line.
        package let points: [(x: Double, y: Double)?]
        /// Whether the area below the line is tinted.
        let isFilled: Bool

        package init(name: String, style: String, points: [(x: Double, y: Double)?], isFilled: Bool = false) {
            self.name = name
            self.style = style
            self.points = points
            self.isFilled = isFilled
        }
    }

    /// A dashed line at a limit.
    package enum Limit {
        case horizontal(Double, label: String)
        case vertical(Double, label: String)
    }

    let title: String
    let description: String
    let xAxis: PlotAxis
    let yAxis: PlotAxis
    let xLabel: String
    let yLabel: String
    let xText: (Double) -> String
    let yText: (Double) -> String
    let series: [Series]
    let limit: Limit?
    let height: Double
    let width: Double

    private let left = 62.0
    private let right = 18.0
    private let top = 14.0
    private let bottom = 44.0

    package init(
        title: String, description: String, xAxis: PlotAxis, yAxis: PlotAxis, xLabel: String, yLabel: String,
        xText: @escaping (Double) -> String, yText: @escaping (Double) -> String, series: [Series],
        limit: Limit? = nil, width: Double = 980, height: Double = 260
    ) {
        self.title = title
        self.description = description
        self.xAxis = xAxis
        self.yAxis = yAxis
        self.xLabel = xLabel
        self.yLabel = yLabel
        self.xText = xText
        self.yText = yText
        self.series = series
        self.limit = limit
        self.width = width
        self.height = height
    }

    /// The plot as a figure element.
    package var figure: String {
        """
        <figure><figcaption><strong>\(HTMLText.escaped(title))</strong> \(HTMLText.escaped(description))</figcaption>
        <svg viewBox="0 0 \(point(width)) \(point(height))" role="img" aria-label="\(HTMLText.escaped(title))">
        \(grid)\(series.map(line).joined())\(limitLine)</svg></figure>

        """
    }

    private func x(_ value: Double) -> Double { left + xAxis.position(of: value) * (width - left - right) }

    private func y(_ value: Double) -> Double { height - bottom - yAxis.position(of: value) * (height - top - bottom) }

    private func point(_ value: Double) -> String { DecimalText.fixed(value, 1) }

    private var grid: String {
        var text = ""
        for tick in yAxis.ticks {
            let at = point(y(tick))
            text += "<line class=\"grid\" x1=\"\(point(left))\" x2=\"\(point(width - right))\" "
            text += "y1=\"\(at)\" y2=\"\(at)\"/>"
            text += "<text class=\"tick\" text-anchor=\"end\" x=\"\(point(left - 8))\" y=\"\(point(y(tick) + 4))\">"
            text += "\(yText(tick))</text>\n"
        }
        let floor = height - bottom
        for tick in xAxis.ticks {
            let at = point(x(tick))
            text += "<line class=\"axis\" x1=\"\(at)\" x2=\"\(at)\" y1=\"\(point(floor))\" y2=\"\(point(floor + 4))\"/>"
            text += "<text class=\"tick\" text-anchor=\"middle\" x=\"\(at)\" y=\"\(point(floor + 18))\">"
            text += "\(xText(tick))</text>\n"
        }
        text += "<line class=\"axis\" x1=\"\(point(left))\" x2=\"\(point(width - right))\" "
        text += "y1=\"\(point(floor))\" y2=\"\(point(floor))\"/>"
        let middle = (top + floor) / 2
        text += "<text class=\"label\" text-anchor=\"middle\" transform=\"translate(14 \(point(middle))) rotate(-90)\">"
        text += "\(HTMLText.escaped(yLabel))</text>"
        text += "<text class=\"label\" text-anchor=\"middle\" x=\"\(point((left + width - right) / 2))\" "
        return text + "y=\"\(point(height - 8))\">\(HTMLText.escaped(xLabel))</text>\n"
    }

    private func line(_ series: Series) -> String {
        var text = ""
        for run in series.points.split(whereSeparator: { $0 == nil }) {
            let points = run.compactMap { $0 }
            guard let first = points.first, let last = points.last else { continue }
            // A single point is drawn as a line without length: a dot, thanks to its round ends.
            let drawn = points.count == 1 ? [first, first] : points
            let path = drawn.map { "\(point(x($0.x))),\(point(y($0.y)))" }.joined(separator: " ")
            if series.isFilled {
                let floor = point(height - bottom)
                text += "<polygon class=\"area \(series.style)\" points=\"\(point(x(first.x))),\(floor) \(path) "
                text += "\(point(x(last.x))),\(floor)\"/>\n"
            }
            text += "<polyline class=\"line \(series.style)\" points=\"\(path)\">"
            text += "<title>\(HTMLText.escaped(series.name))</title></polyline>\n"
        }
        return text
    }

    private var limitLine: String {
        switch limit {
        case .horizontal(let value, let label):
            let at = point(y(value))
            return "<line class=\"limit\" x1=\"\(point(left))\" x2=\"\(point(width - right))\" "
                + "y1=\"\(at)\" y2=\"\(at)\"/><text class=\"limit-label\" text-anchor=\"end\" x=\"\(point(width - right - 4))\" "
                + "y=\"\(point(y(value) - 5))\">\(HTMLText.escaped(label))</text>\n"
        case .vertical(let value, let label):
            let at = point(x(value))
            return "<line class=\"limit\" x1=\"\(at)\" x2=\"\(at)\" y1=\"\(point(top))\" "
                + "y2=\"\(point(height - bottom))\"/><text class=\"limit-label\" text-anchor=\"end\" x=\"\(point(x(value) - 6))\" "
                + "y=\"\(point(height - bottom - 10))\">\(HTMLText.escaped(label))</text>\n"
        case nil:
            return ""
        }
    }
}
