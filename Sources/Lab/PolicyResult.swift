import Basics

/// What a policy did in a scenario. Definitions: `workloads.md` D.6.
public struct PolicyResult: Sendable {
    /// Three points of a distribution, in milliseconds; all zero if there was nothing to measure.
    public struct Spread: Hashable, Sendable {
        /// The median.
        public let p50: Double
        /// The value that 90 % stay below.
        public let p90: Double
        /// The value that 99 % stay below.
        public let p99: Double

        init(_ sample: Percentiles) {
            p50 = sample.value(at: 0.5) ?? 0
            p90 = sample.value(at: 0.9) ?? 0
            p99 = sample.value(at: 0.99) ?? 0
        }
    }

    /// What real-time users saw.
    public struct Realtime: Sendable {
        /// Requests of the trace.
        public let requests: Int
        /// The share that met both limits; a rejected request counts as a miss.
        public let good: Double
        /// Requests turned away.
        public let rejected: Int
        /// Time to first token.
        public let ttft: Spread
        /// Mean time per token after the first, of each request.
        public let tpot: Spread
    }

    /// What became of the batch work.
    public struct Batch: Sendable {
        /// Requests handed over: all messages, or the lines of an endless job that were started before the trace ended.
        public let submitted: Int
        /// Requests with a complete answer: at the end of the run for messages, at the end of the trace for lines.
        public let served: Int
        /// Requests given up.
        public let dropped: Int
        /// Requests served after their deadline or given up because of it.
        public let late: Int
        /// Requests finished per second of the trace.
        public let requestsPerSecond: Double
        /// Prompt tokens of those, per second.
        public let inputTokensPerSecond: Double
        /// Output tokens of those, per second.
        public let outputTokensPerSecond: Double
        /// Tokens computed for work that was then thrown away (called back or preempted).
        public let wastedTokens: Int
        /// Times a request was sent.
        public let attempts: Int
    }

    /// How long a pile of messages took.
    public struct Drain: Sendable {
        /// Time until the last message was served.
        public let makespanSeconds: Double
        /// What the work bound allows (`workloads.md` C.5, 128 concurrent decodes).
        public let workBoundSeconds: Double
    }

    /// How a surge was weathered.
    public struct SurgeControl: Sendable {
        /// The longest unbroken time that steps stayed above the limit while carrying batch work.
        public let overLimitSeconds: Double
        /// The limit: the share of the TPOT limit that a step may take.
        public let limitMilliseconds: Double
        /// The longest decode part of a step in the window.
        public let worstStepMilliseconds: Double
        /// Wasted tokens as a share of all batch tokens computed.
        public let wasteShare: Double
    }

    /// How a gate kept its threshold.
    public struct GateControl: Sendable {
        /// What the gate watches; pool saturation where there is no gate.
        public let signal: String
        /// The level of its signal at which it closes.
        public let threshold: Double
        /// Pool saturation, averaged over the trace.
        public let meanSaturation: Double
        /// The pool saturation that 99 % of the time stayed below.
        public let p99Saturation: Double
        /// The highest pool saturation.
        public let peakSaturation: Double
        /// How far the signal went beyond the threshold at its highest.
        public let peakOvershoot: Double
        /// How far it was beyond the threshold on average over all the time, 0 counted where it was not.
        public let meanOvershoot: Double
        /// The share of the time that the signal was beyond the threshold.
        public let shareBeyond: Double
    }

    /// The policy.
    public let policy: Policy
    /// Real-time users.
    public let realtime: Realtime
    /// Batch work.
    public let batch: Batch
    /// Set where messages were pushed and some were served.
    public let drain: Drain?
    /// Set in a surge.
    public let surge: SurgeControl?
    /// Set in the scenario of the gates.
    public let gate: GateControl?
    /// The load of the run as a factor on the rate of the trace, where the scenario goes through several.
    public internal(set) var load: Double? = nil
    /// How well requests were spread, where that is the question.
    public internal(set) var routing: RoutingFigures? = nil
    /// How a burst was spread.
    public internal(set) var herd: HerdFigures? = nil
    /// How tenants fared beside each other.
    public internal(set) var fairness: FairnessFigures? = nil
    /// Each figure's mean and interval over the seeds, where there were several.
    public internal(set) var overSeeds: [FigureInterval] = []
    /// Virtual time of the run.
    public let virtualSeconds: Double
    /// Real time of the run, by the caller's clock.
    public let wallSeconds: Double
    let plots: PolicyPlots
}

/// Series for the plots of a report.
struct PolicyPlots: Sendable {
    let binSeconds: Double
    /// Real-time arrivals per second, per bin.
    let arrivals: [Double]
    let realtimeInFlight: [Double]
    let batchInFlight: [Double]
    /// The highest-but-5 % TTFT of the arrivals of each bin, in milliseconds; nil for empty bins.
    let ttft95: [Double?]
    let tpot95: [Double?]
    /// Values at the quantiles `quantiles`, in milliseconds.
    let ttftCurve: [Double]
    let tpotCurve: [Double]

    static let quantiles = (0...100).map { Double($0) / 100 } + [0.995, 0.999]
}
