/// What a consumer has done since its start, and what it holds now.
public struct ConsumerCounters: Hashable, Sendable {
    /// Messages taken from the queue, repeated ones included.
    public var leased = 0
    /// Requests given to an endpoint.
    public var dispatched = 0
    /// Those of the dispatched that were the first of their message.
    public var firstDispatches = 0
    /// Messages finished with a successful answer.
    public var succeeded = 0
    /// Messages finished with a final error answer, or given up.
    public var failed = 0
    /// Those of the failed that were kept as dead letters.
    public var deadLettered = 0
    /// Messages finished because their deadline passed or was too close.
    public var expired = 0
    /// Messages finished because their owner took them back.
    public var cancelled = 0
    /// Attempts that led to a retry after a pause.
    public var retries = 0
    /// Messages that a gate has put off.
    public var postponed = 0
    /// Refusals for lack of room.
    public var capacityRefusals = 0
    /// Requests aborted for real-time work.
    public var evictions = 0
    /// Messages given back because of a stop, or because nobody served their target.
    public var handedBack = 0
    /// Results or releases that came to nothing because the lease was lost.
    public var lostLeases = 0
    /// Calls of the queue that failed.
    public var queueErrors = 0
    /// Times that a target was found failing and left alone.
    public var breakersOpened = 0
    /// Messages in hand that the pool has been offered and has not started.
    public var offered = 0
    /// Messages in hand that an endpoint works on.
    public var inFlight = 0
    /// Messages in hand, in whatever stage.
    public var held = 0

    /// Creates counters at zero.
    public init() {}
}
