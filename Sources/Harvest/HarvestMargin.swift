/// The slow loop: how cautious batch work has to be so that real-time users do not notice it (shared reference
/// `workloads.md` D.5 step 5).
///
/// What it protects is measured: the share of real-time requests that missed a limit and would have met it without the
/// engine time that batch work took of them. Each such miss adds to the caution, every other request takes a little of it
/// away, so that in equilibrium the tolerated share of misses remains. Caution moves the share of the time per token that
/// is used, how soon the brake acts, and the waste that it may cause, each between two bounds.
struct HarvestMargin {
    /// What one spoilt request adds to the caution.
    private static let gain = 0.04
    /// While fewer than half of the requests are spoilt that may be, caution falls that much faster, up to this.
    private static let fastestDescent = 4.0
    /// Lately: as many requests as may hold so many spoilt ones.
    private static let recentMisses = 4.0
    /// At full caution this much of the configured share of the time per token is used.
    private static let leastStepShare = 2.0 / 3
    private let configuration: HarvestConfiguration
    /// From 0 (batch work is not noticed) to 1, where it begins.
    private(set) var caution = 1.0
    /// The share of requests that were spoilt lately.
    private var spoiltShare = 0.0

    init(configuration: HarvestConfiguration) { self.configuration = configuration }

    /// The share of the TPOT limit that a token may take on average while batch work is aboard.
    var stepShare: Double { configuration.stepShare * (1 - caution * (1 - Self.leastStepShare)) }

    /// The share of the TTFT limit that waiting real-time prompts may take to compute before the brake acts.
    var brakeShare: Double {
        configuration.brakeShare + caution * (configuration.cautiousBrakeShare - configuration.brakeShare)
    }

    /// The share of the harvest that the brake may throw away.
    var wasteShare: Double {
        configuration.abortedTokenShare
            + caution * (configuration.cautiousAbortedTokenShare - configuration.abortedTokenShare)
    }

    mutating func observe(_ outcome: RealtimeOutcome) {
        let isSpoilt =
            outcome.spoils(
                outcome.ttftMilliseconds, outcome.ttftOfBatchMilliseconds, configuration.ttftLimitMilliseconds)
            || outcome.spoils(
                outcome.tpotMilliseconds ?? 0, outcome.tpotOfBatchMilliseconds, configuration.tpotLimitMilliseconds)
        let tolerated = configuration.toleratedMissShare
        spoiltShare += tolerated / Self.recentMisses * ((isSpoilt ? 1 : 0) - spoiltShare)
        let descent = tolerated * min(Self.fastestDescent, max(1, tolerated / max(2 * spoiltShare, 1e-9)))
        caution += Self.gain * ((isSpoilt ? 1 : 0) - descent)
        caution = min(max(caution, 0), 1)
    }
}

extension RealtimeOutcome {
    /// Whether a time was beyond its limit for batch work alone.
    fileprivate func spoils(_ time: Double, _ ofBatch: Double, _ limit: Double) -> Bool {
        time > limit && time - max(0, ofBatch) <= limit
    }
}
