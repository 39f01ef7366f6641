public import Basics

/// Durations as people write them in the configuration and on the command line: `500ms`, `30s`, `10m`, `1h30m`, `7d`.
public enum DurationText {
    private static let units: [(suffix: String, nanoseconds: Int64)] = [
        ("d", 86_400_000_000_000), ("h", 3_600_000_000_000), ("m", 60_000_000_000), ("s", 1_000_000_000),
        ("ms", 1_000_000), ("us", 1_000),
    ]

    /// The span, or nil if the text is not a duration. A bare `0` needs no unit; signs are not accepted.
    public static func parse(_ text: String) -> TimeSpan? {
        if text == "0" { return .zero }
        var rest = Substring(text)
        var total = TimeSpan.zero
        guard !rest.isEmpty else { return nil }
        while !rest.isEmpty {
            let digits = rest.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
            rest = rest.dropFirst(digits.count)
            let letters = rest.prefix { $0.isASCII && $0.isLetter }
            rest = rest.dropFirst(letters.count)
            guard let amount = Double(digits), let unit = units.first(where: { $0.suffix == letters }) else {
                return nil
            }
            total = total + .seconds(amount * Double(unit.nanoseconds) / 1e9)
            // A century is far beyond any meaning here and far below where sums of spans would overflow.
            guard total < .seconds(3.2e9) else { return nil }
        }
        return total
    }

    /// The span in the largest unit that divides it.
    public static func text(_ span: TimeSpan) -> String {
        if span == .zero { return "0s" }
        for unit in units where span.nanoseconds % unit.nanoseconds == 0 {
            return "\(span.nanoseconds / unit.nanoseconds)\(unit.suffix)"
        }
        return "\(Double(span.nanoseconds) / 1e3)us"
    }
}

/// Sizes as people write them: `512`, `64KiB`, `32MiB`, `1GiB`, and the decimal `kB`, `MB`, `GB`.
enum SizeText {
    private static let units: [(suffix: String, bytes: Int)] = [
        ("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10),
        ("TB", 1_000_000_000_000), ("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000), ("B", 1), ("", 1),
    ]

    /// The size in bytes, or nil if the text is not one.
    static func parse(_ text: String) -> Int? {
        let digits = text.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
        let suffix = text.dropFirst(digits.count)
        guard let amount = Double(digits), let unit = units.first(where: { $0.suffix == suffix }) else { return nil }
        let bytes = amount * Double(unit.bytes)
        guard bytes < 1e15 else { return nil }
        return Int(bytes.rounded())
    }

    /// The size in the largest binary unit that divides it.
    static func text(_ bytes: Int) -> String {
        for unit in units.prefix(4) where bytes != 0 && bytes % unit.bytes == 0 {
            return "\(bytes / unit.bytes)\(unit.suffix)"
        }
        return "\(bytes)B"
    }
}
