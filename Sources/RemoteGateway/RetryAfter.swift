import Basics
import InferenceAPI

/// Reads the `Retry-After` field of RFC 9110 section 10.2.3.
enum RetryAfter {
    /// No wait is longer, so that it can be added to any moment of these days.
    private static let longest = TimeSpan.seconds(366 * 86_400)

    /// The wait that the field asks for: a number of seconds, or a date; nil if it is neither. A date that has passed asks
    /// for none.
    static func wait(_ text: String, now: Instant) -> TimeSpan? {
        if !text.isEmpty, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) {
            return Int64(text).map { min(.seconds(Double($0)), longest) }
        }
        return HTTPDate.parse(text).map { min(max(.zero, $0 - now), longest) }
    }
}
