public import Basics

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// Tells the time to queues and processors, as an instant since the Unix epoch.
///
/// Deadlines and retry times are calendar time, because they outlive a process; tests put a clock of their own in place.
public protocol DeliveryClock: Sendable {
    /// The present.
    func now() -> Instant
    /// Suspends until `instant`; throws `CancellationError` when the task is cancelled.
    func sleep(until instant: Instant) async throws
}

/// The calendar clock of the machine.
public struct SystemClock: DeliveryClock {
    /// Creates a view of the clock.
    public init() {}

    /// The present.
    public func now() -> Instant {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Instant(nanoseconds: Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec))
    }

    /// Sleeps in steps of at most a second, so that a correction of the machine's time is noticed.
    public func sleep(until instant: Instant) async throws {
        while true {
            let remaining = instant - now()
            guard remaining > .zero else { return }
            try await Task.sleep(for: .nanoseconds(min(remaining, .seconds(1)).nanoseconds))
        }
    }
}
