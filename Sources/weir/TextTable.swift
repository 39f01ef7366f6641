/// Columns for a terminal: each as wide as its widest cell.
struct TextTable {
    private static let widestCell = 48
    private var rows: [[String]]

    /// Begins a table with its headings.
    init(_ headings: [String]) { rows = [headings] }

    /// Adds a row; ids and names are others' text, so whatever could steer the terminal is replaced.
    mutating func add(_ cells: [String]) { rows.append(cells.map(Self.printable)) }

    /// The lines, without trailing space.
    func lines() -> [String] {
        var widths = [Int](repeating: 0, count: rows.first?.count ?? 0)
        for row in rows { for (column, cell) in row.enumerated() { widths[column] = max(widths[column], cell.count) } }
        return rows.map { row in
            let padded = zip(row, widths).map { $0 + String(repeating: " ", count: max(0, $1 - $0.count)) }
            let line = padded.joined(separator: "  ")
            return String(line.prefix(line.count - line.reversed().prefix { $0 == " " }.count))
        }
    }

    /// The text without control characters, cut to the widest cell.
    static func printable(_ text: String) -> String {
        var scalars = String.UnicodeScalarView()
        for scalar in text.unicodeScalars {
            let steers = scalar.properties.generalCategory == .control || scalar.properties.generalCategory == .format
            scalars.append(steers ? "\u{FFFD}" : scalar)
        }
        let shown = String(scalars)
        return shown.count <= widestCell ? shown : shown.prefix(widestCell - 1) + "…"
    }
}
