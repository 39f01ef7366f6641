/// What sending a request to an endpoint is expected to cost, in milliseconds of somebody's time.
///
/// Parts have one unit, so they need no weights that depend on the workload: a prefix hit is worth the prefill that it
/// saves, a queue costs what it takes to drain.
public struct RoutingCost: Hashable, Sendable {
    /// Until the first token: the queue ahead and the request's own uncached prompt.
    public var firstToken: Float = 0
    /// From the first token to the last.
    public var decode: Float = 0
    /// What others there wait longer because of this request: for its prompt, and in each of their steps.
    public var interference: Float = 0
    /// For limits that would be missed.
    public var penalty: Float = 0
    /// For an adapter that has to be loaded.
    public var adapter: Float = 0

    /// No cost.
    public init() {}

    /// All parts together.
    public var total: Float { firstToken + decode + interference + penalty + adapter }
}

/// How the parts of a cost count, and what things cost that cannot be learned from answers.
public struct RoutingCostConfiguration: Hashable, Sendable {
    /// How much a millisecond of decoding counts beside one before the first token.
    public var decodeShare: Float
    /// How much a millisecond that others wait longer counts.
    public var interferenceShare: Float
    /// How often each millisecond beyond a limit counts.
    public var penaltyFactor: Float
    /// Loading an adapter where there is a free place for it, in milliseconds.
    public var adapterLoadMilliseconds: Float
    /// Loading an adapter in the place of another, in milliseconds.
    public var adapterSwapMilliseconds: Float

    /// Creates a configuration.
    public init(
        decodeShare: Float = 0.2, interferenceShare: Float = 0.1, penaltyFactor: Float = 10,
        adapterLoadMilliseconds: Float = 200, adapterSwapMilliseconds: Float = 1000
    ) {
        self.decodeShare = decodeShare
        self.interferenceShare = interferenceShare
        self.penaltyFactor = penaltyFactor
        self.adapterLoadMilliseconds = adapterLoadMilliseconds
        self.adapterSwapMilliseconds = adapterSwapMilliseconds
    }
}
