/// Told through `reportsError` once what was told before is over.
public struct RedisQueueRecovery: Error, Hashable, Sendable, CustomStringConvertible {
    /// The queue.
    public let place: String

    /// One plain sentence with the place.
    public var description: String { "the queue at \(place) can be used again" }
}
