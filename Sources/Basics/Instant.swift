/// A point on a monotonic time line, in nanoseconds since an origin that the caller chose.
///
/// Pure code never reads a clock: the live process passes time since its start, the lab passes virtual time.
public struct Instant: Hashable, Comparable, Sendable {
    /// Nanoseconds since the origin.
    public var nanoseconds: Int64

    /// The origin of the time line.
    public static let zero = Instant(nanoseconds: 0)

    /// An instant later than every instant that can occur.
    public static let distantFuture = Instant(nanoseconds: .max / 4)

    /// Creates an instant from nanoseconds since the origin.
    public init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }

    /// Creates an instant from seconds since the origin.
    public init(seconds: Double) { nanoseconds = TimeSpan.seconds(seconds).nanoseconds }

    /// Seconds since the origin.
    public var seconds: Double { Double(nanoseconds) / 1e9 }

    /// Milliseconds since the origin.
    public var milliseconds: Double { Double(nanoseconds) / 1e6 }

    /// The earlier of the two comes first.
    public static func < (left: Instant, right: Instant) -> Bool { left.nanoseconds < right.nanoseconds }

    /// The instant that lies `span` after `instant`.
    public static func + (instant: Instant, span: TimeSpan) -> Instant {
        Instant(nanoseconds: instant.nanoseconds + span.nanoseconds)
    }

    /// The instant that lies `span` before `instant`.
    public static func - (instant: Instant, span: TimeSpan) -> Instant {
        Instant(nanoseconds: instant.nanoseconds - span.nanoseconds)
    }

    /// The time from `right` to `left`; negative if `left` is the earlier one.
    public static func - (left: Instant, right: Instant) -> TimeSpan {
        TimeSpan(nanoseconds: left.nanoseconds - right.nanoseconds)
    }
}
