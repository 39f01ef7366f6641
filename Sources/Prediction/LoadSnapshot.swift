public import Pool

/// The load of one endpoint at one moment, as the latency of a request there depends on it.
public struct LoadSnapshot: Hashable, Sendable {
    /// Uncached prompt tokens of the requests there without a first token.
    public var pendingPrefillTokens: Int
    /// Requests there without a first token.
    public var requestsAwaitingFirstToken: Int
    /// Requests there that have produced a token.
    public var decodingRequests: Int
    /// Tokens of context that requests in flight there hold.
    public var contextTokens: Int

    /// Creates a snapshot.
    public init(
        pendingPrefillTokens: Int, requestsAwaitingFirstToken: Int, decodingRequests: Int, contextTokens: Int
    ) {
        self.pendingPrefillTokens = pendingPrefillTokens
        self.requestsAwaitingFirstToken = requestsAwaitingFirstToken
        self.decodingRequests = decodingRequests
        self.contextTokens = contextTokens
    }

    /// What the gateway's own counters say.
    public init(_ load: EndpointLoad) {
        self.init(
            pendingPrefillTokens: load.pendingPrefillTokens,
            requestsAwaitingFirstToken: load.requestsAwaitingFirstToken,
            decodingRequests: load.requests - load.requestsAwaitingFirstToken, contextTokens: load.contextTokens)
    }
}
