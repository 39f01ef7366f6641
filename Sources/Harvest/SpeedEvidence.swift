public import Basics

/// How much faster an endpoint has proved to be than its configured constants say.
///
/// A sequence of `n` tokens takes at least `n` steps, and by the constants no step is shorter than their base time `a`. An
/// answer that came `r = n * a / residence` times sooner than that proves a faster engine; prefix-cache hits cannot feign
/// it, as only generated tokens count. The estimate is the lower quartile of `r` over recent answers, by stochastic
/// approximation (Robbins and Monro, 1951): one answer moves it by a few percent whatever its size, so that
/// neither a cache of whole answers that hits now and then nor one stall throws it off, and it falls three times as fast as it
/// rises. Under load `r` only gets smaller, so the estimate is a lower bound.
///
/// What decoding several tokens in a step (speculative decoding) can explain is taken off: it makes decode steps go further,
/// but computes no prompt sooner. An engine whose constants are about right is thus believed to have exactly those.
public struct SpeedEvidence: Sendable {
    /// Shorter answers spend their time on the prompt and on the way.
    private static let fewestTokens = 8
    /// A larger ratio is taken for this one, so that what a server claims cannot make numbers lose their meaning.
    private static let largestRatio = 10_000.0
    /// By this much the ratio has to exceed 1 before it counts: speculative decoding gains a factor of 2 to 3, rarely 4.
    private static let speculativeGain = 3.0
    /// How far one answer moves the estimate.
    private static let step = 0.2
    private static let quantile = 0.25

    /// The lower quartile of recent ratios, at least 1.
    private var ratio = 1.0

    /// No evidence: the constants hold.
    public init() {}

    /// The factor by which steps and prompts take less time than the configured constants say; 1 without proof.
    public var factor: Double { max(1, ratio - Self.speculativeGain) }

    /// Counts one complete answer of `outputTokens` tokens in one sequence.
    ///
    /// - Parameters:
    ///   - residence: from the start of the request to the end of its answer.
    ///   - configured: the constants that the ratio is about.
    public mutating func observe(outputTokens: Int, residence: TimeSpan, configured: StepTimeModel) {
        guard outputTokens >= Self.fewestTokens else { return }
        let leastMilliseconds = Double(outputTokens) * configured.baseMilliseconds
        let observed = leastMilliseconds / max(residence.milliseconds, leastMilliseconds / Self.largestRatio)
        let change = observed > ratio ? Self.quantile * Self.step : -(1 - Self.quantile) * Self.step
        ratio = max(1, ratio * (1 + change))
    }

    /// Forgets what has been learned: the endpoint went down and may come back as another, or the belief was refuted.
    public mutating func forget() { ratio = 1 }
}

extension StepTimeModel {
    /// The model of an engine that is `factor` times as fast in everything.
    public func faster(by factor: Double) -> StepTimeModel {
        StepTimeModel(
            baseMilliseconds: baseMilliseconds / factor, perDecodeMilliseconds: perDecodeMilliseconds / factor,
            perContextTokenMilliseconds: perContextTokenMilliseconds / factor,
            perPrefillTokenMilliseconds: perPrefillTokenMilliseconds / factor)
    }
}
