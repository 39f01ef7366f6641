import Basics

/// When the signature of a Google Cloud Storage URL stops being valid.
enum SignedURLExpiry {
    /// Since the Unix epoch; nil if the URL does not say in a way that can be read.
    ///
    /// The V4 form has `X-Goog-Date` (`20260131T120000Z`) and `X-Goog-Expires` (seconds after it), the V2 form `Expires` (seconds
    /// since the epoch).
    static func expiry(of url: String) -> Instant? {
        let beforeFragment = url.prefix { $0 != "#" }
        guard let mark = beforeFragment.firstIndex(of: "?") else { return nil }
        var values: [String: Substring] = [:]
        for item in beforeFragment[beforeFragment.index(after: mark)...].split(separator: "&") {
            let name = item.prefix { $0 != "=" }
            guard name.count < item.count else { continue }
            let key = String(name)
            if values[key] == nil { values[key] = item.dropFirst(name.count + 1) }
        }
        if let date = values["X-Goog-Date"], let expires = values["X-Goog-Expires"], !date.isEmpty, !expires.isEmpty {
            guard let start = unixSeconds(compactDate: date), let seconds = digits(expires) else { return nil }
            return instant(start, seconds)
        }
        return values["Expires"].flatMap(digits).flatMap { instant($0, 0) }
    }

    private static func instant(_ seconds: Int64, _ more: Int64) -> Instant? {
        let (sum, overflow) = seconds.addingReportingOverflow(more)
        guard !overflow else { return .distantFuture }
        return .init(seconds: Double(sum))
    }

    /// Reads `20260131T120000Z`.
    private static func unixSeconds(compactDate text: Substring) -> Int64? {
        let bytes = Array(text.utf8)
        guard bytes.count == 16, bytes[8] == UInt8(ascii: "T"), bytes[15] == UInt8(ascii: "Z") else { return nil }
        func number(_ range: Range<Int>) -> Int64? { digits(String(decoding: bytes[range], as: UTF8.self)[...]) }
        guard let year = number(0..<4), let month = number(4..<6), let day = number(6..<8), let hour = number(9..<11),
            let minute = number(11..<13), let second = number(13..<15), year >= 1970, (1...12).contains(month),
            (1...31).contains(day), hour < 24, minute < 60, second <= 60
        else { return nil }
        return ((daysSince1970(year, month, day) * 24 + hour) * 60 + minute) * 60 + second
    }

    /// Days since 1970-01-01 in the Gregorian calendar, counted in years that begin in March, whose months have their
    /// lengths by a formula (Fliegel and van Flandern, Communications of the ACM 11(10), 1968, in another form).
    private static func daysSince1970(_ year: Int64, _ month: Int64, _ day: Int64) -> Int64 {
        let shifted = month > 2 ? (year, month - 3) : (year - 1, month + 9)
        let daysOfYears = shifted.0 * 365 + shifted.0 / 4 - shifted.0 / 100 + shifted.0 / 400
        return daysOfYears + (153 * shifted.1 + 2) / 5 + day - 1 - 719_468
    }

    private static func digits(_ text: Substring) -> Int64? {
        guard !text.isEmpty, text.utf8.count <= 12, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else {
            return nil
        }
        return Int64(text)
    }
}
