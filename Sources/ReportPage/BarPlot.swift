/// One horizontal bar per policy with its value written beside it, drawn as SVG.
package struct BarPlot {
    /// One bar.
    package struct Bar {
        let name: String
        /// CSS class of the bar.
        let style: String
        let value: Double
        let text: String

        package init(name: String, style: String, value: Double, text: String) {
            self.name = name
            self.style = style
            self.value = value
            self.text = text
        }
    }

    let title: String
    let description: String
    let bars: [Bar]
    /// The value at full length.
    let full: Double
    /// A dashed line at a value worth comparing with.
    let mark: (value: Double, label: String)?

    private let width = 480.0
    private let nameWidth = 150.0
    private let textWidth = 70.0
    private let rowHeight = 30.0
    private let top = 22.0

    package init(
        title: String, description: String, bars: [Bar], full: Double, mark: (value: Double, label: String)? = nil
    ) {
        self.title = title
        self.description = description
        self.bars = bars
        self.full = full
        self.mark = mark
    }

    /// The plot as a figure element.
    package var figure: String {
        let height = top + rowHeight * Double(bars.count) + 6
        let length = width - nameWidth - textWidth
        var text = """
            <figure><figcaption><strong>\(HTMLText.escaped(title))</strong> \(HTMLText.escaped(description))</figcaption>
            <svg viewBox="0 0 \(point(width)) \(point(height))" role="img" aria-label="\(HTMLText.escaped(title))">

            """
        for (index, bar) in bars.enumerated() {
            let y = top + rowHeight * Double(index)
            let share = full > 0 ? min(max(bar.value / full, 0), 1) : 0
            text += "<text class=\"name\" text-anchor=\"end\" x=\"\(point(nameWidth - 10))\" y=\"\(point(y + 19))\">"
            text += "\(HTMLText.escaped(bar.name))</text>"
            text += "<rect class=\"track\" x=\"\(point(nameWidth))\" y=\"\(point(y + 6))\" "
            text += "width=\"\(point(length))\" height=\"18\" rx=\"3\"/>"
            text += "<rect class=\"bar \(bar.style)\" x=\"\(point(nameWidth))\" y=\"\(point(y + 6))\" "
            text += "width=\"\(point(max(share * length, share > 0 ? 1.5 : 0)))\" height=\"18\" rx=\"3\"/>"
            text += "<text class=\"value\" x=\"\(point(nameWidth + length + 8))\" y=\"\(point(y + 19))\">"
            text += "\(bar.text)</text>\n"
        }
        if let mark, full > 0 {
            let x = point(nameWidth + min(max(mark.value / full, 0), 1) * length)
            text += "<line class=\"limit\" x1=\"\(x)\" x2=\"\(x)\" y1=\"\(point(top))\" y2=\"\(point(height - 4))\"/>"
            text += "<text class=\"limit-label\" text-anchor=\"end\" x=\"\(x)\" y=\"14\">"
            text += "\(HTMLText.escaped(mark.label))</text>\n"
        }
        return text + "</svg></figure>\n"
    }

    private func point(_ value: Double) -> String { DecimalText.fixed(value, 1) }
}
