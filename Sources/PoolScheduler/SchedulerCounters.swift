public import Pool

/// What a scheduler has done since it was created; the source of its metrics.
public struct SchedulerCounters: Sendable {
    /// Requests that asked for a place.
    public internal(set) var submitted = PerClass(repeating: 0)
    /// Placements, retries included.
    public internal(set) var started = PerClass(repeating: 0)
    /// Requests that ended with a complete answer.
    public internal(set) var finished = PerClass(repeating: 0)
    /// Requests turned away, by cause.
    public internal(set) var rejected: [Rejection.Cause: Int] = [:]
    /// Placements after an endpoint failed before answering.
    public internal(set) var retried = 0
    /// Batch requests called back for real-time work.
    public internal(set) var calledBack = 0
    /// Tokens computed for requests that were called back.
    public internal(set) var lostTokens = 0
}
