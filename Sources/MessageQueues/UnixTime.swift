public import Basics

/// Parses the forms in which producers give a point in time.
public enum UnixTime {
    /// Beyond this many seconds (the year 5138) a number can only be milliseconds by mistake.
    static let latestSeconds = 1e11

    /// Seconds since the Unix epoch, whole or with decimals; nil if it is no such number.
    static func seconds(_ text: some StringProtocol) -> Instant? {
        if let whole = Int64(text) {
            guard whole > 0, Double(whole) < latestSeconds else { return nil }
            let latest = Instant.distantFuture.nanoseconds / 1_000_000_000
            return Instant(nanoseconds: min(whole, latest) * 1_000_000_000)
        }
        guard let value = Double(text), value > 0, value < latestSeconds else { return nil }
        return decimal(text) ?? Instant(seconds: value)
    }

    /// A number such as `1793440800.123456789` to the nanosecond, which is finer than a `Double` is; nil if it is written
    /// in another way.
    private static func decimal(_ text: some StringProtocol) -> Instant? {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        let digits = UInt8(ascii: "0")...UInt8(ascii: "9")
        guard parts.count == 2, (1...9).contains(parts[1].utf8.count), parts[1].utf8.allSatisfy(digits.contains),
            let whole = Int64(parts[0]), whole >= 0, whole < Instant.distantFuture.nanoseconds / 1_000_000_000,
            var fraction = Int64(parts[1])
        else { return nil }
        for _ in parts[1].utf8.count..<9 { fraction *= 10 }
        return Instant(nanoseconds: whole * 1_000_000_000 + fraction)
    }

    /// An RFC 3339 date and time such as `2026-11-22T10:00:00Z` or `2026-11-22T10:00:00.5+01:00`; nil if it is none.
    public static func rfc3339(_ text: String) -> Instant? {
        let bytes = Array(text.utf8)
        func number(_ range: Range<Int>) -> Int64? {
            guard range.upperBound <= bytes.count else { return nil }
            var value: Int64 = 0
            for byte in bytes[range] {
                guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) else { return nil }
                value = value * 10 + Int64(byte - UInt8(ascii: "0"))
            }
            return value
        }
        guard bytes.count >= 20, bytes[4] == UInt8(ascii: "-"), bytes[7] == UInt8(ascii: "-"),
            bytes[10] | 0x20 == UInt8(ascii: "t") || bytes[10] == UInt8(ascii: " "),
            bytes[13] == UInt8(ascii: ":"), bytes[16] == UInt8(ascii: ":"),
            let year = number(0..<4), let month = number(5..<7), let day = number(8..<10),
            let hour = number(11..<13), let minute = number(14..<16), let second = number(17..<19),
            (1...12).contains(month), (1...31).contains(day), hour < 24, minute < 60, second <= 60
        else { return nil }

        var index = 19
        var nanoseconds: Int64 = 0
        if bytes[index] == UInt8(ascii: ".") {
            index += 1
            let start = index
            var unit: Int64 = 100_000_000
            while index < bytes.count, let digit = number(index..<index + 1) {
                nanoseconds += digit * unit
                unit /= 10
                index += 1
            }
            guard index > start else { return nil }
        }
        guard index < bytes.count else { return nil }
        var offsetMinutes: Int64 = 0
        switch bytes[index] {
        case UInt8(ascii: "Z"), UInt8(ascii: "z"): index += 1
        case UInt8(ascii: "+"), UInt8(ascii: "-"):
            guard let hours = number(index + 1..<index + 3), index + 3 < bytes.count,
                bytes[index + 3] == UInt8(ascii: ":"), let minutes = number(index + 4..<index + 6),
                hours < 24, minutes < 60
            else { return nil }
            offsetMinutes = (hours * 60 + minutes) * (bytes[index] == UInt8(ascii: "-") ? -1 : 1)
            index += 6
        default: return nil
        }
        guard index == bytes.count else { return nil }
        let seconds =
            daysSinceEpoch(year: year, month: month, day: day) * 86_400 + (hour * 60 + minute - offsetMinutes) * 60
            + second
        let latest = Instant.distantFuture.nanoseconds / 1_000_000_000
        guard seconds > 0 else { return nil }
        return Instant(nanoseconds: min(seconds, latest) * 1_000_000_000 + nanoseconds)
    }

    /// Days from 1970-01-01 in the Gregorian calendar (Hinnant, "chrono-compatible low-level date algorithms").
    private static func daysSinceEpoch(year: Int64, month: Int64, day: Int64) -> Int64 {
        let shifted = month <= 2 ? year - 1 : year
        let era = (shifted >= 0 ? shifted : shifted - 399) / 400
        let yearOfEra = shifted - era * 400
        let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
        let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
        return era * 146_097 + dayOfEra - 719_468
    }
}
