/// One measured figure beside the bar that it has to meet.
struct Figure {
    /// What a bar is: the most that something may take, or the least that it must do.
    enum Bar {
        case atMost(Double)
        case atLeast(Double)
        /// Reported only.
        case none
    }

    var name: String
    var value: Double
    var unit: String
    var bar: Bar

    var isMet: Bool {
        switch bar {
        case .atMost(let limit): value <= limit
        case .atLeast(let limit): value >= limit
        case .none: true
        }
    }

    /// One line: name, value, and the bar if there is one.
    var line: String {
        let head = name + String(repeating: " ", count: max(1, 58 - name.count)) + Self.text(value) + " " + unit
        switch bar {
        case .atMost(let limit): return "\(head)   bar <= \(Self.text(limit))\(isMet ? "" : "   MISSED")"
        case .atLeast(let limit): return "\(head)   bar >= \(Self.text(limit))\(isMet ? "" : "   MISSED")"
        case .none: return head
        }
    }

    private static func text(_ value: Double) -> String {
        let tenths = Int((value * 100).rounded())
        let fraction = tenths % 100
        return "\(tenths / 100).\(fraction < 10 ? "0" : "")\(fraction)"
    }
}

/// The least time of several runs, in microseconds per call: on a busy machine the best of many short runs is free of
/// other people's time slices.
func bestMicroseconds(runs: Int = 50, calls: Int, _ body: (Int) -> Void) -> Double {
    var best = Double.infinity
    let clock = ContinuousClock()
    for _ in 0..<runs {
        let time = clock.measure { for call in 0..<calls { body(call) } }
        best = min(best, time / .seconds(1) * 1e6 / Double(calls))
    }
    return best
}
