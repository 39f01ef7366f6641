/// What a queue on Pub/Sub has done and holds.
public struct PubSubMetrics: Hashable, Sendable {
    /// Deliveries that came, of whatever message.
    public var received = 0
    /// Those of them that were of a message already in hand or finished, or that the broker counted as a further
    /// attempt.
    public var redelivered = 0
    /// Results, requests and dead letters published and confirmed.
    public var published = 0
    /// Messages acknowledged, as far as the broker confirms it.
    public var acked = 0
    /// Acknowledgements and extensions that came too late, or were given up.
    public var ackFailures = 0
    /// Deliveries handed back, at once or with a pause.
    public var nacked = 0
    /// Messages published to the dead-letter topic: unreadable ones, and those given up.
    public var deadLettered = 0
    /// Messages that could not be read; without a dead-letter topic they were handed back.
    public var unreadable = 0
    /// Times the stream was opened again after it had ended.
    public var streamRestarts = 0
    /// Messages in hand: waiting here, with the processor, or being settled.
    public var outstanding = 0

    /// Nothing has happened.
    public init() {}
}
