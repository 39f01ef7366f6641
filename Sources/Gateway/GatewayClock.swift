import Basics
import NIOCore

/// The gateway's time line: the machine's monotonic clock.
enum GatewayClock {
    static func now() -> Instant { Instant(nanoseconds: Int64(NIODeadline.now().uptimeNanoseconds)) }
}

extension TimeSpan {
    var timeAmount: TimeAmount { .nanoseconds(nanoseconds) }
}
