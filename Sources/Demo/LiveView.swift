import Basics

/// Draws the state of the demo: a picture that is redrawn on a terminal, or a plain line every few seconds.
struct LiveView {
    private static let barWidth = 36
    private static let fullBar = 160
    private let isTerminal: Bool
    private var drawnLines = 0
    private var lastPlainSecond = -1

    init(isTerminal: Bool) { self.isTerminal = isTerminal }

    /// The text to write for the present state; empty if there is nothing new to say.
    mutating func frame(_ act: Act, _ record: ActRecord) -> String {
        guard let sample = record.pool.last else { return "" }
        return isTerminal ? picture(act, record, sample) : line(record, sample)
    }

    /// Ends an act: what was drawn stays.
    mutating func finish() -> String {
        drawnLines = 0
        lastPlainSecond = -1
        return isTerminal ? "\n" : ""
    }

    private mutating func line(_ record: ActRecord, _ sample: PoolSample) -> String {
        let second = Int(sample.seconds)
        guard second / 5 != lastPlainSecond else { return "" }
        lastPlainSecond = second / 5
        return "  \(pad(second, 3)) s   real-time in flight \(pad(sample.realtime, 3))   batch in flight "
            + "\(pad(sample.batch, 3))   served \(pad(record.served, 5))   dropped \(pad(record.dropped, 5))\n"
    }

    private mutating func picture(_ act: Act, _ record: ActRecord, _ sample: PoolSample) -> String {
        var lines = sample.servers.map { server in
            let realtime = min(Self.barWidth, server.realtime * Self.barWidth / Self.fullBar)
            let batch = min(Self.barWidth - realtime, server.batch * Self.barWidth / Self.fullBar)
            let rest = Self.barWidth - realtime - batch
            return "  \(server.name)  \u{1B}[36m\(String(repeating: "█", count: realtime))\u{1B}[33m"
                + "\(String(repeating: "▒", count: batch))\u{1B}[0m\(String(repeating: "·", count: rest))  "
                + "\(pad(server.realtime, 3)) real-time  \(pad(server.batch, 3)) batch"
        }
        let recent = record.realtime.suffix(200)
        let good = recent.isEmpty ? 100 : Double(recent.count { $0.isGood }) * 100 / Double(recent.count)
        lines.append(
            "  \(pad(Int(sample.seconds), 3)) s   real-time well served \(tenths(good)) %   "
                + (act == .alone ? "" : "messages served \(pad(record.served, 5))   dropped \(pad(record.dropped, 5))"))
        let up = drawnLines > 0 ? "\u{1B}[\(drawnLines)A" : ""
        drawnLines = lines.count
        return up + lines.map { "\u{1B}[2K\($0)\n" }.joined()
    }

    private func pad(_ number: Int, _ width: Int) -> String {
        let text = String(number)
        return String(repeating: " ", count: max(0, width - text.count)) + text
    }
}

/// A number with one decimal.
func tenths(_ value: Double) -> String {
    let scaled = Int((value * 10).rounded())
    return "\(scaled / 10).\(abs(scaled % 10))"
}
