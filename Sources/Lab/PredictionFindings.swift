import Basics
import ReportPage

/// How good predictions were in one run of the prediction world.
public struct PredictionFindings: Sendable {
    /// Of one kind of time.
    public struct Score: Hashable, Sendable {
        /// Outcomes that count.
        public var count = 0
        /// The median of the times themselves, in milliseconds.
        public var p50Milliseconds = 0.0
        /// Their 0.9 quantile, in milliseconds.
        public var p90Milliseconds = 0.0
        /// Mean absolute error relative to the outcome, as a share.
        public var meanAbsolutePercentageError = 0.0
        /// The median of the same, as a share.
        public var medianAbsolutePercentageError = 0.0
        /// Mean error relative to the outcome, as a share; above zero if predictions are too high.
        public var bias = 0.0
        /// The share of outcomes at or below the 0.9 quantile given with the prediction.
        public var p90Coverage = 0.0
    }

    /// What happened after the engines changed.
    public struct Swap: Hashable, Sendable {
        /// The share that the error is to come back under.
        public var bar: Double
        /// Mean absolute percentage error of the requests sent in the minute before.
        public var before: Double
        /// Of those sent in the first ten seconds after it.
        public var atOnce: Double
        /// Of those sent in the second minute after it.
        public var secondMinute: Double
        /// From the change until the error over the latest 200 outcomes is back under the bar, in seconds; nil if never.
        public var recoverySeconds: Double?
    }

    /// The load by name.
    public var load: String
    /// Mean arrivals over the pool, per second.
    public var requestsPerSecond: Double
    /// The seed of traffic and noise.
    public var seed: UInt64
    /// Time to first token, from sending.
    public var ttft: Score
    /// Time per output token after the first.
    public var tpot: Score
    /// The share of expected prefix hits that were none.
    public var staleShare: Double
    /// Requests that lost their KV blocks.
    public var preemptions: Int
    /// Set if the engines changed on the way.
    public var swap: Swap?

    /// The figures in one line of text.
    public var text: String {
        func percent(_ share: Double) -> String { DecimalText.fixed(share * 100, 1) + " %" }
        func words(_ name: String, _ score: Score) -> String {
            "\(name) p50 \(DecimalText.fixed(score.p50Milliseconds, 0)) ms, p90 "
                + "\(DecimalText.fixed(score.p90Milliseconds, 0)) ms: MAPE "
                + percent(score.meanAbsolutePercentageError) + ", median "
                + percent(score.medianAbsolutePercentageError)
                + ", bias " + percent(score.bias) + ", p90 coverage " + DecimalText.fixed(score.p90Coverage, 3)
        }
        var text = "\(load), seed \(seed): \(words("TTFT", ttft)); \(words("TPOT", tpot))"
        if let swap {
            text += "; swap: MAPE \(percent(swap.before)) before, \(percent(swap.atOnce)) in the first 10 s, "
            text += "\(percent(swap.secondMinute)) in the second minute, "
            text +=
                swap.recoverySeconds.map { "under the bar after \(DecimalText.fixed($0, 1)) s" } ?? "never recovered"
        }
        return text
    }

    /// The figures as one JSON object, in a fixed order.
    public var json: String {
        func number(_ value: Double) -> String { DecimalText.fixed(value, 4) }
        func object(_ score: Score) -> String {
            "{\"requests\": \(score.count), \"p50_ms\": \(number(score.p50Milliseconds)), "
                + "\"p90_ms\": \(number(score.p90Milliseconds)), "
                + "\"mape\": \(number(score.meanAbsolutePercentageError)), "
                + "\"median_ape\": \(number(score.medianAbsolutePercentageError)), \"bias\": \(number(score.bias)), "
                + "\"p90_coverage\": \(number(score.p90Coverage))}"
        }
        var text = "{\"load\": \"\(load)\", \"requests_per_s\": \(number(requestsPerSecond)), \"seed\": \(seed), "
        text += "\"ttft\": \(object(ttft)), \"tpot\": \(object(tpot)), \"stale_share\": \(number(staleShare)), "
        text += "\"preemptions\": \(preemptions)"
        if let swap {
            text += ", \"swap\": {\"bar\": \(number(swap.bar)), \"mape_before\": \(number(swap.before)), "
            text += "\"mape_at_once\": \(number(swap.atOnce)), \"mape_second_minute\": \(number(swap.secondMinute)), "
            text += "\"recovery_s\": \(swap.recoverySeconds.map(number) ?? "null")}"
        }
        return text + "}"
    }
}

/// One prediction and what came of it.
struct PredictionOutcome {
    /// When it was made, and when its truth was known.
    var made: Instant
    var known: Instant
    var predictedMilliseconds: Double
    var p90Milliseconds: Double
    var milliseconds: Double

    var error: Double { (predictedMilliseconds - milliseconds) / milliseconds }
}

extension [PredictionOutcome] {
    /// Mean absolute percentage error; 0 of nothing.
    var meanAbsolutePercentageError: Double {
        isEmpty ? 0 : reduce(0) { $0 + $1.error.magnitude } / Double(count)
    }

    /// The score of all but the first `warmUp` in order of being made.
    func score(afterWarmUp warmUp: Int) -> PredictionFindings.Score {
        let counted = sorted { $0.made < $1.made }.dropFirst(warmUp)
        let times = Percentiles(counted.map(\.milliseconds))
        let errors = Percentiles(counted.map(\.error.magnitude))
        let total = Double(Swift.max(1, counted.count))
        return PredictionFindings.Score(
            count: counted.count, p50Milliseconds: times.value(at: 0.5) ?? 0,
            p90Milliseconds: times.value(at: 0.9) ?? 0,
            meanAbsolutePercentageError: errors.mean ?? 0, medianAbsolutePercentageError: errors.value(at: 0.5) ?? 0,
            bias: counted.reduce(0) { $0 + $1.error } / total,
            p90Coverage: Double(counted.count { $0.milliseconds <= $0.p90Milliseconds }) / total)
    }
}
