/// The table at the end: what each way did to both kinds of users.
struct SummaryTable {
    let records: [(act: Act, record: ActRecord)]

    /// Rows of cells, the header first.
    var rows: [[String]] {
        let header = ["", "sent", "served", "dropped", "per s", "good", "TTFT p99", "token p99"]
        return [header]
            + records.map { act, record in
                let isBatch = act != .alone
                return [
                    act.name, isBatch ? "\(record.submitted)" : "-", isBatch ? "\(record.served)" : "-",
                    isBatch ? "\(record.dropped)" : "-",
                    isBatch && record.batchSeconds > 0 ? tenths(Double(record.served) / record.batchSeconds) : "-",
                    "\(tenths(record.goodShare * 100)) %", record.firstTokenP99.map { "\(Int($0)) ms" } ?? "-",
                    record.perTokenP99.map { "\(tenths($0)) ms" } ?? "-",
                ]
            }
    }

    /// What the columns mean.
    static let legend = """
        sent, served, dropped: messages. good: real-time requests with their first token
        within 1 s and at most 50 ms per further token; p99 of what their clients saw.
        """

    /// The table for a terminal of 80 columns.
    var text: String {
        let rows = rows
        let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        return rows.enumerated().map { index, row in
            let cells = row.enumerated().map { column, cell in
                let padding = String(repeating: " ", count: widths[column] - cell.count)
                return column == 0 ? cell + padding : padding + cell
            }
            let line = "  " + cells.joined(separator: "  ")
            return index == 0 ? line + "\n  " + String(repeating: "─", count: line.count - 2) : line
        }.joined(separator: "\n")
    }
}
