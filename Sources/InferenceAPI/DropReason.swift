/// Why a request was refused or cut short, as the `x-llm-d-request-dropped-reason` header says it.
///
/// The values are the llm-d router's, so that its async processor and dashboards understand Weir
/// (reference async-processor.md 3.6, gaie-protocol.md 2.4).
public enum DropReason: String, CaseIterable, Hashable, Sendable {
    /// The pool, or the queue before it, is full.
    case saturated = "rejected-saturated"
    /// No endpoint could take the request.
    case noEndpoints = "rejected-no-endpoints"
    /// The request waited in the queue as long as it may.
    case ttlExpired = "rejected-ttl-expired"
    /// The client left while the request waited.
    case contextCancelled = "rejected-context-cancelled"
    /// The gateway is going away.
    case shuttingDown = "rejected-shutting-down"
    /// A running request had to make room.
    case evicted = "evicted"
    /// A running request had to make room for waiting ones.
    case evictedQueuePressure = "evicted-queue-pressure"
    /// A running request had to make room for one of higher priority.
    case evictedPriority = "evicted-priority"
}
