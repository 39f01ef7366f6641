public import Basics

/// What waits in a subscription of Pub/Sub, as Cloud Monitoring last said.
public struct SubscriptionBacklog: Hashable, Sendable {
    /// Messages that nobody has acknowledged, those included that somebody works on.
    public var unacknowledged: Int
    /// How long ago the oldest of them was published; nil if it was not said.
    public var oldestAge: TimeSpan?

    /// Names the numbers.
    public init(unacknowledged: Int, oldestAge: TimeSpan? = nil) {
        self.unacknowledged = unacknowledged
        self.oldestAge = oldestAge
    }
}
