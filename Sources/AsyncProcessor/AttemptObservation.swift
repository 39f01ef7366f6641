public import Basics
public import Delivery

/// An attempt that was started and has ended.
public struct AttemptObservation: Sendable {
    /// From the offer to the start.
    public let waited: TimeSpan
    /// From the start to the end.
    public let took: TimeSpan
    /// How it ended.
    public let outcome: AttemptOutcome
}
