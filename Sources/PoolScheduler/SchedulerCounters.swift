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
    /// Requests that were turned away while they waited to make room for others; among the rejected too.
    public internal(set) var evicted = 0
    /// Placements after an endpoint failed before answering.
    public internal(set) var retried = 0
    /// Batch requests called back for real-time work.
    public internal(set) var calledBack = 0
    /// Tokens computed for requests that were called back.
    public internal(set) var lostTokens = 0
    /// Prompt tokens of complete answers, as engines reported them.
    public private(set) var enginePromptTokens = 0
    /// Those of them that engines reported as cached.
    public private(set) var engineCachedPromptTokens = 0

    /// Counts what a complete answer tells of its prompt. Engines may write any number; sums stay within bounds.
    mutating func note(_ answer: AnswerFacts) {
        guard let prompt = answer.promptTokens, prompt > 0 else { return }
        enginePromptTokens = Self.sum(enginePromptTokens, prompt)
        engineCachedPromptTokens = Self.sum(
            engineCachedPromptTokens, min(max(0, answer.cachedPromptTokens ?? 0), prompt))
    }

    private static func sum(_ total: Int, _ amount: Int) -> Int {
        let (sum, overflows) = total.addingReportingOverflow(amount)
        return overflows ? .max : sum
    }
}
