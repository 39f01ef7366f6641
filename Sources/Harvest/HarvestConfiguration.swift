/// How much of the pool batch work may take, and what it must leave alone.
///
/// The law and its starting values are those of the shared reference `workloads.md` D.5, steps 1-4 and 6.
public struct HarvestConfiguration: Hashable, Sendable {
    /// The limit on real-time time per output token, in milliseconds.
    public var tpotLimitMilliseconds: Double
    /// The limit on real-time time to first token, in milliseconds.
    public var ttftLimitMilliseconds: Double
    /// The share of the TPOT limit that a step may take while batch work is aboard (`theta`).
    public var stepShare: Double
    /// The share of the engine's time that prompts, real-time and batch together, may take (`rho`).
    public var prefillShare: Double
    /// The most prompt tokens of batch work that may be sent in one burst.
    public var prefillBurstTokens: Double
    /// The share of the KV cache that real-time and batch work may fill together before batch work stops.
    public var kvShare: Double
    /// The quantile of the recent rises of real-time requests in flight that is kept free (0...1).
    public var reserveQuantile: Double
    /// The share of harvested tokens that the brake may throw away.
    public var abortedTokenShare: Double
    /// A hard limit on batch requests in flight on one endpoint, whatever the law allows; nil for none.
    public var maxInFlightPerEndpoint: Int?
    /// Whether batch work is let in at all.
    public var isEnabled: Bool

    /// Creates a configuration.
    public init(
        tpotLimitMilliseconds: Double = 50, ttftLimitMilliseconds: Double = 1000, stepShare: Double = 0.45,
        prefillShare: Double = 0.45, prefillBurstTokens: Double = 6000, kvShare: Double = 0.85,
        reserveQuantile: Double = 0.95, abortedTokenShare: Double = 0.05, maxInFlightPerEndpoint: Int? = nil,
        isEnabled: Bool = true
    ) {
        self.tpotLimitMilliseconds = tpotLimitMilliseconds
        self.ttftLimitMilliseconds = ttftLimitMilliseconds
        self.stepShare = stepShare
        self.prefillShare = prefillShare
        self.prefillBurstTokens = prefillBurstTokens
        self.kvShare = kvShare
        self.reserveQuantile = reserveQuantile
        self.abortedTokenShare = abortedTokenShare
        self.maxInFlightPerEndpoint = maxInFlightPerEndpoint
        self.isEnabled = isEnabled
    }
}
