import Basics

/// Tells the troubles of the housekeeping that are worth a line from those that are known: one that lasts is told once, and
/// so is its end. Pure.
struct TroubleLog {
    private var lastText: String?
    private var isCutOff = false
    private var isTold = false
    private var failures = 0

    private static let shortestRest = TimeSpan.milliseconds(200)
    private static let longestRest = TimeSpan.seconds(10)

    /// Notes a failure; true if it is news. While the server cannot be reached, that is why everything fails.
    mutating func failed(_ text: String) -> Bool {
        failures += 1
        guard !isCutOff, text != lastText else { return false }
        lastText = text
        isTold = true
        return true
    }

    /// Notes that there is no connection; true if that is news.
    mutating func cutOff() -> Bool {
        defer { (isCutOff, isTold) = (true, true) }
        return !isCutOff
    }

    /// Notes that all went well; true if that ends a trouble that has been told.
    mutating func succeeded() -> Bool {
        defer { self = TroubleLog() }
        return isTold
    }

    /// How long to wait after the last failure: twice as long after each.
    var rest: TimeSpan {
        var rest = Self.shortestRest
        for _ in 0..<max(0, failures - 1) where rest < Self.longestRest { rest = rest * 2 }
        return min(rest, Self.longestRest)
    }
}
