/// How much of the pool batch work may take, and what it must leave alone.
///
/// The law and its starting values are those of the shared reference `workloads.md` D.5, steps 1-4 and 6.
public struct HarvestConfiguration: Hashable, Sendable {
    /// The limit on real-time time per output token, in milliseconds.
    public var tpotLimitMilliseconds: Double
    /// The limit on real-time time to first token, in milliseconds.
    public var ttftLimitMilliseconds: Double
    /// The share of the TPOT limit that a token may take on average while batch work is aboard (`theta`), prompts that are
    /// computed in between included; the slow loop lowers it where real-time work needs more.
    public var stepShare: Double
    /// The share of the engine's time that prompts, real-time and batch together, may take (`rho`).
    public var prefillShare: Double
    /// The most batch prompts that may be sent in one burst, in milliseconds of engine time.
    public var prefillBurstMilliseconds: Double
    /// The share of the TTFT limit that waiting real-time prompts may take to compute before batch work is called back.
    public var brakeShare: Double
    /// The same at full caution.
    public var cautiousBrakeShare: Double
    /// The share of the KV cache that real-time and batch work may fill together before batch work stops.
    public var kvShare: Double
    /// The quantile of the recent rises of real-time requests that is kept free (0...1).
    public var reserveQuantile: Double
    /// The share of harvested tokens that the brake may throw away.
    public var abortedTokenShare: Double
    /// The same at full caution, under traffic that comes in clumps.
    public var cautiousAbortedTokenShare: Double
    /// The share of real-time requests that may miss a limit for batch work's sake (0...1).
    public var toleratedMissShare: Double
    /// A hard limit on batch requests in flight on one endpoint, whatever the law allows; nil for none.
    public var maxInFlightPerEndpoint: Int?
    /// Whether batch work is let in at all.
    public var isEnabled: Bool

    /// Creates a configuration.
    public init(
        tpotLimitMilliseconds: Double = 50, ttftLimitMilliseconds: Double = 1000, stepShare: Double = 0.75,
        prefillShare: Double = 0.5, prefillBurstMilliseconds: Double = 120, brakeShare: Double = 0.7,
        cautiousBrakeShare: Double = 0.6, kvShare: Double = 0.85, reserveQuantile: Double = 0.95,
        abortedTokenShare: Double = 0.05, cautiousAbortedTokenShare: Double = 0.25,
        toleratedMissShare: Double = 0.0025, maxInFlightPerEndpoint: Int? = nil,
        isEnabled: Bool = true
    ) {
        self.tpotLimitMilliseconds = tpotLimitMilliseconds
        self.ttftLimitMilliseconds = ttftLimitMilliseconds
        self.stepShare = stepShare
        self.prefillShare = prefillShare
        self.prefillBurstMilliseconds = prefillBurstMilliseconds
        self.brakeShare = brakeShare
        self.cautiousBrakeShare = cautiousBrakeShare
        self.kvShare = kvShare
        self.reserveQuantile = reserveQuantile
        self.abortedTokenShare = abortedTokenShare
        self.cautiousAbortedTokenShare = cautiousAbortedTokenShare
        self.toleratedMissShare = toleratedMissShare
        self.maxInFlightPerEndpoint = maxInFlightPerEndpoint
        self.isEnabled = isEnabled
    }
}
