public import Basics

/// Reads a moment from a header (`Retry-After`, `Date`, `Expires`), in the forms of RFC 9110 5.6.7.
public enum HTTPDate {
    private static let days = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
    private static let longDays = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
    private static let months = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ]
    /// Two-digit years from here on are of the last century. The RFC's rule (not more than 50 years ahead) needs a clock; the
    /// form with two digits was obsolete before 2000, so a fixed turn serves.
    private static let firstTwoDigitYear = 70
    private static let longestText = 64

    /// The moment that `text` names, since 1970-01-01 00:00 UTC; nil if it is no such date, or one before 1970.
    ///
    /// `Sun, 06 Nov 1994 08:49:37 GMT`, and the obsolete `Sunday, 06-Nov-94 08:49:37 GMT` and `Sun Nov  6 08:49:37 1994`. The
    /// name of the day has to be one, but not the right one; a second of 60 (a leap second) counts as the next minute.
    public static func parse(_ text: some StringProtocol) -> Instant? {
        guard text.utf8.count <= longestText else { return nil }
        let words = text.split(whereSeparator: { $0 == " " || $0 == "\t" })
        return imfFixdate(words) ?? rfc850(words) ?? asctime(words)
    }

    private static func imfFixdate(_ words: [some StringProtocol]) -> Instant? {
        guard words.count == 6, words[5] == "GMT", words[0].last == ",", days.contains(String(words[0].dropLast())),
            let month = months.firstIndex(of: String(words[2])), let day = digits(words[1], 2),
            let year = digits(words[3], 4)
        else { return nil }
        return instant(year: year, month: month + 1, day: day, time: words[4])
    }

    private static func rfc850(_ words: [some StringProtocol]) -> Instant? {
        guard words.count == 4, words[3] == "GMT", words[0].last == ",",
            longDays.contains(String(words[0].dropLast()))
        else { return nil }
        let date = words[1].split(separator: "-", omittingEmptySubsequences: false)
        guard date.count == 3, let month = months.firstIndex(of: String(date[1])), let day = digits(date[0], 2),
            let short = digits(date[2], 2)
        else { return nil }
        let year = short + (short < firstTwoDigitYear ? 2000 : 1900)
        return instant(year: year, month: month + 1, day: day, time: words[2])
    }

    private static func asctime(_ words: [some StringProtocol]) -> Instant? {
        guard words.count == 5, days.contains(String(words[0])), let month = months.firstIndex(of: String(words[1])),
            let day = digits(words[2], 2) ?? digits(words[2], 1), let year = digits(words[4], 4)
        else { return nil }
        return instant(year: year, month: month + 1, day: day, time: words[3])
    }

    private static func instant(year: Int, month: Int, day: Int, time: some StringProtocol) -> Instant? {
        let parts = time.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 3, let hour = digits(parts[0], 2), let minute = digits(parts[1], 2),
            let second = digits(parts[2], 2), hour < 24, minute < 60, second <= 60, year >= 1970,
            (1...daysIn(month: month, year: year)).contains(day)
        else { return nil }
        let seconds = ((daysSince1970(year, month, day) * 24 + hour) * 60 + minute) * 60 + second
        // The time line ends in the year 2262.
        let (nanoseconds, overflow) = Int64(seconds).multipliedReportingOverflow(by: 1_000_000_000)
        return overflow ? nil : Instant(nanoseconds: nanoseconds)
    }

    private static func isLeap(_ year: Int) -> Bool { year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) }

    private static func daysIn(month: Int, year: Int) -> Int {
        switch month {
        case 2: isLeap(year) ? 29 : 28
        case 4, 6, 9, 11: 30
        default: 31
        }
    }

    /// Days from 1970-01-01 to a date of the Gregorian calendar.
    private static func daysSince1970(_ year: Int, _ month: Int, _ day: Int) -> Int {
        let before = year - 1
        let leapDays = before / 4 - before / 100 + before / 400 - (1969 / 4 - 1969 / 100 + 1969 / 400)
        let months = (1..<month).reduce(0) { $0 + daysIn(month: $1, year: year) }
        return (year - 1970) * 365 + leapDays + months + day - 1
    }

    /// A number of exactly `count` ASCII digits.
    private static func digits(_ text: some StringProtocol, _ count: Int) -> Int? {
        guard text.utf8.count == count, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
        return Int(text)
    }
}
