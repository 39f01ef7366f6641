import Basics

/// Quantities and durations as Kubernetes objects write them.
enum QuantityText {
    private static let factors: [(suffix: String, factor: Double)] = [
        ("Ki", 0x1p10), ("Mi", 0x1p20), ("Gi", 0x1p30), ("Ti", 0x1p40), ("Pi", 0x1p50), ("m", 1e-3), ("k", 1e3),
        ("M", 1e6), ("G", 1e9), ("T", 1e12), ("P", 1e15),
    ]

    /// A quantity as a whole number, rounded up: `5000`, `500M`, `1Gi`, `2e3`; nil if it is not one, or too large.
    static func parse(_ text: String) -> Int? {
        var rest = Substring(text)
        var factor = 1.0
        if let unit = factors.first(where: { rest.hasSuffix($0.suffix) }) {
            factor = unit.factor
            rest = rest.dropLast(unit.suffix.count)
        }
        let isPlain = rest.allSatisfy { $0.isASCII && ($0.isNumber || ".+-eE".contains($0)) }
        guard isPlain, let amount = Double(rest) else { return nil }
        let value = (amount * factor).rounded(.up)
        return abs(value) < 0x1p62 ? Int(value) : nil
    }

    private static let units: [(suffix: String, seconds: Double)] = [
        ("h", 3600), ("m", 60), ("s", 1), ("ms", 1e-3), ("us", 1e-6), ("µs", 1e-6), ("ns", 1e-9),
    ]

    /// A duration such as `60s` or `1m30s`; nil if the text is not one.
    static func parseDuration(_ text: String) -> TimeSpan? {
        if text == "0" { return .zero }
        var rest = Substring(text)
        var seconds = 0.0
        guard !rest.isEmpty else { return nil }
        while !rest.isEmpty {
            let digits = rest.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
            rest = rest.dropFirst(digits.count)
            let letters = rest.prefix { $0.isLetter }
            rest = rest.dropFirst(letters.count)
            guard let amount = Double(digits), let unit = units.first(where: { $0.suffix == letters }) else {
                return nil
            }
            seconds += amount * unit.seconds
            // A century is far beyond any meaning here.
            guard seconds < 3.2e9 else { return nil }
        }
        return .seconds(seconds)
    }
}
