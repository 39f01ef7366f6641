/// What the latency of one request at one endpoint depends on, as the router knew it at one moment.
///
/// The scheduler keeps it with the request, beside the prediction made from it, and hands both back with the outcome.
/// A fixed size, no references.
public struct LatencyFeatures: Hashable, Sendable {
    /// Prompt tokens that the endpoint has to compute for the request; at least one.
    public var uncachedTokens: Float = 1
    /// The attention work of those: each counts the tokens before it (`u * (L - u / 2)`).
    public var attention: Float = 0.5
    /// Prompt tokens of others that are computed before, beyond the step under way.
    public var tokensAhead: Float = 0
    /// The attention work of those.
    public var attentionAhead: Float = 0
    /// What is left of the step under way, in milliseconds.
    public var stepRemainderMilliseconds: Float = 0
    /// Requests there that have produced a token.
    public var decodingRequests: Float = 0
    /// Requests there without a first token.
    public var awaitingRequests: Float = 0
    /// Tokens of context that the decoding requests hold.
    public var contextTokens: Float = 0
    /// Tokens of KV cache that have to be given back before the prompt and all ahead of it have room; 0 if they have.
    public var lackingTokens: Float = 0
    /// Tokens of the prompts of the requests without a first token.
    public var waitingContextTokens: Float = 0
    /// Uncached prompt tokens that have been sent there lately, per millisecond.
    public var arrivalTokensPerMillisecond: Float = 0
    /// The factor from a predicted time to first token to its 0.9 quantile, as it was then.
    public var ttftP90Factor: Float = 1.2
    /// The same of the time per output token.
    public var tpotP90Factor: Float = 1.2

    /// Features of a request without any work at an endpoint without any load.
    public init() {}
}
