/// What one request asks of an endpoint, in tokens.
///
/// Estimates made before the request runs; the endpoint's load is counted in them until the truth is known.
public struct RequestDemand: Hashable, Sendable {
    /// Prompt tokens that the endpoint has to compute (prompt tokens less those expected in its prefix cache).
    public var uncachedPromptTokens: Int
    /// Prompt tokens in all.
    public var promptTokens: Int
    /// Tokens that the request is expected to generate.
    public var expectedOutputTokens: Int

    /// Creates a demand; without a cache estimate every prompt token counts as uncached.
    public init(promptTokens: Int, expectedOutputTokens: Int, uncachedPromptTokens: Int? = nil) {
        self.promptTokens = promptTokens
        self.expectedOutputTokens = expectedOutputTokens
        self.uncachedPromptTokens = uncachedPromptTokens ?? promptTokens
    }

    /// The same with so many tokens of the prompt cached. One token at least is always computed.
    public func cached(promptTokens cached: Int) -> RequestDemand {
        RequestDemand(
            promptTokens: promptTokens, expectedOutputTokens: expectedOutputTokens,
            uncachedPromptTokens: max(min(1, promptTokens), promptTokens - max(0, cached)))
    }

    /// KV-cache tokens that the request will hold when it ends.
    public var kvTokens: Int { promptTokens + expectedOutputTokens }

    /// The context that the request reads per step, in tokens, averaged over its life.
    public var meanContextTokens: Int { promptTokens + expectedOutputTokens / 2 }
}
