import Basics

/// Lengths of time as Go writes them: `300ms`, `1m30s`, `1.5h`, `0`.
enum GateDuration {
    private static let nanoseconds: [String: Double] = [
        "ns": 1, "us": 1e3, "µs": 1e3, "ms": 1e6, "s": 1e9, "m": 60e9, "h": 3600e9,
    ]
    private static let longest = 10 * 365 * 86400e9

    /// Reads one; nil if it is none, negative, or longer than ten years.
    static func read(_ text: String) -> TimeSpan? {
        if text == "0" { return .zero }
        var rest = text[...]
        var total = 0.0
        guard !rest.isEmpty else { return nil }
        while !rest.isEmpty {
            let digits = rest.prefix { ($0.isASCII && $0.isNumber) || $0 == "." }
            rest = rest.dropFirst(digits.count)
            let unit = rest.prefix { $0.isLetter }
            rest = rest.dropFirst(unit.count)
            guard let number = Double(digits), let factor = nanoseconds[String(unit)] else { return nil }
            total += number * factor
        }
        guard total <= longest else { return nil }
        return TimeSpan(nanoseconds: Int64(total.rounded()))
    }

    /// Writes one so that it reads back as the same.
    static func write(_ span: TimeSpan) -> String {
        let units: [(String, Int64)] = [
            ("h", 3_600_000_000_000), ("m", 60_000_000_000), ("s", 1_000_000_000), ("ms", 1_000_000),
        ]
        for (name, length) in units where span.nanoseconds != 0 && span.nanoseconds % length == 0 {
            return "\(span.nanoseconds / length)\(name)"
        }
        return span.nanoseconds == 0 ? "0s" : "\(span.nanoseconds)ns"
    }
}
