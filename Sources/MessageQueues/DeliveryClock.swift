public import Basics
public import Delivery

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
    /// The present, as calendar time.
    func now() -> Instant
    /// The present, on a line that never jumps.
    func steady() -> Instant
    /// Suspends for so long of steady time; throws `CancellationError` when the task is cancelled.
    func sleep(for span: TimeSpan) async throws
}

extension DeliveryClock {
    /// The present on both time lines.
    public var time: DeliveryTime { DeliveryTime(wall: now(), steady: steady()) }
}

/// The clocks of the machine.
public struct SystemClock: DeliveryClock {
    /// Creates a view of the clock.
    public init() {}

    /// The present.
    public func now() -> Instant {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Instant(nanoseconds: Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec))
    }

    /// The time since the machine's start, sleep included.
    public func steady() -> Instant {
        var time = timespec()
        #if canImport(Darwin)
            clock_gettime(CLOCK_MONOTONIC, &time)
        #else
            clock_gettime(CLOCK_BOOTTIME, &time)
        #endif
        return Instant(nanoseconds: Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec))
    }

    /// Sleeps.
    public func sleep(for span: TimeSpan) async throws {
        try await Task.sleep(for: .nanoseconds(max(0, span.nanoseconds)))
    }
}
