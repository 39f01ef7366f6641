/// How one real-time request fared, and how it would have fared without batch work beside it.
public struct RealtimeOutcome: Hashable, Sendable {
    /// Time to first token, in milliseconds.
    public var ttftMilliseconds: Double
    /// The part of it in which the engine worked for batch requests.
    public var ttftOfBatchMilliseconds: Double
    /// Mean time per further token in milliseconds; nil for a single token.
    public var tpotMilliseconds: Double?
    /// The part of it in which the engine worked for batch requests.
    public var tpotOfBatchMilliseconds: Double

    /// The tokens of its answer.
    public var outputTokens: Int

    /// Creates an outcome.
    public init(
        ttftMilliseconds: Double, ttftOfBatchMilliseconds: Double, tpotMilliseconds: Double?,
        tpotOfBatchMilliseconds: Double, outputTokens: Int
    ) {
        self.ttftMilliseconds = ttftMilliseconds
        self.ttftOfBatchMilliseconds = ttftOfBatchMilliseconds
        self.tpotMilliseconds = tpotMilliseconds
        self.tpotOfBatchMilliseconds = tpotOfBatchMilliseconds
        self.outputTokens = outputTokens
    }
}
