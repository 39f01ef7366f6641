public import Basics

/// How a dispatched request ended, for gates that learn from it.
///
/// Upstream's table (`x-llm-d-request-dropped-reason`): a status below 300 is accepted; `rejected-saturated`, or a 429
/// without a reason, is for capacity; `rejected-ttl-expired` is an expiry in the gateway's queue; `evicted*` is an
/// eviction; every other reason, a bare 5xx and a broken connection say nothing about capacity.
public enum GateLesson: Hashable, Sendable {
    /// It was served.
    case accepted
    /// It was turned away for want of capacity, perhaps with the time after which to come back.
    case rejectedForCapacity(retryAfter: TimeSpan?)
    /// It waited in the gateway's queue until its time there was over.
    case queueExpired
    /// It ran, and made room for work that goes first.
    case evicted
    /// Anything else.
    case other
}

/// What a gateway may add to its answer; what it leaves out is no signal.
public struct GateAdvice: Hashable, Sendable {
    /// How long the request waited in the gateway (`x-llm-d-flow-queue-duration-ms`).
    public var queueDuration: TimeSpan?
    /// How many more requests the queue of its band would take (`x-llm-d-flow-band-headroom`).
    public var bandHeadroom: Double?

    /// Creates advice.
    public init(queueDuration: TimeSpan? = nil, bandHeadroom: Double? = nil) {
        self.queueDuration = queueDuration
        self.bandHeadroom = bandHeadroom
    }
}
