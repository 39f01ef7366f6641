import Basics

/// The pauses of a subscription's retry policy.
struct BrokerBackoff: Hashable {
    let minimum: TimeSpan
    let maximum: TimeSpan

    /// How long the broker waits before it delivers a message again: from the minimum, doubling with each delivery, up
    /// to the maximum. Where deliveries are not counted, at least the minimum.
    func pause(afterDelivery attempt: Int) -> TimeSpan {
        min(maximum, minimum * Double(1 << min(max(attempt - 1, 0), 30)))
    }
}
