/// A length of time in nanoseconds; may be negative.
///
/// A 64-bit counterpart of `Swift.Duration`, whose 128-bit arithmetic costs too much in the lab's inner loop.
public struct TimeSpan: Hashable, Comparable, Sendable {
    /// The length in nanoseconds.
    public var nanoseconds: Int64

    /// No time at all.
    public static let zero = TimeSpan(nanoseconds: 0)

    /// Creates a span from whole nanoseconds.
    public init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }

    /// A span of so many seconds; values beyond about 70 years are clamped.
    public static func seconds(_ value: Double) -> TimeSpan { TimeSpan(clampingNanoseconds: value * 1e9) }

    /// A span of so many milliseconds.
    public static func milliseconds(_ value: Double) -> TimeSpan { TimeSpan(clampingNanoseconds: value * 1e6) }

    /// The length in seconds.
    public var seconds: Double { Double(nanoseconds) / 1e9 }

    /// The length in milliseconds.
    public var milliseconds: Double { Double(nanoseconds) / 1e6 }

    /// The shorter of the two comes first.
    public static func < (left: TimeSpan, right: TimeSpan) -> Bool { left.nanoseconds < right.nanoseconds }

    /// The sum of two spans.
    public static func + (left: TimeSpan, right: TimeSpan) -> TimeSpan {
        TimeSpan(nanoseconds: left.nanoseconds + right.nanoseconds)
    }

    /// The difference of two spans.
    public static func - (left: TimeSpan, right: TimeSpan) -> TimeSpan {
        TimeSpan(nanoseconds: left.nanoseconds - right.nanoseconds)
    }

    /// A span scaled by a factor.
    public static func * (span: TimeSpan, factor: Double) -> TimeSpan {
        TimeSpan(clampingNanoseconds: Double(span.nanoseconds) * factor)
    }

    private init(clampingNanoseconds value: Double) {
        let limit = Double(Int64.max / 4)
        nanoseconds = value.isNaN ? 0 : Int64(min(max(value, -limit), limit).rounded())
    }
}
