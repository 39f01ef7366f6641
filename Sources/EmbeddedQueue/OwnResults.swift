import Delivery

/// How many results a queue has made itself, of messages that nobody was working on. Of one process, since its start.
public struct OwnResults: Hashable, Sendable {
    /// Of messages that were taken back.
    public private(set) var cancelled = 0
    /// Of messages that can no longer be read.
    public private(set) var failed = 0

    /// None yet.
    public init() {}

    mutating func note(_ code: DeliveryErrorCode) {
        if code == .cancelled { cancelled += 1 } else { failed += 1 }
    }

    mutating func add(_ others: OwnResults) {
        cancelled += others.cancelled
        failed += others.failed
    }
}
