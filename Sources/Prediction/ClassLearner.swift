import Basics

/// What has been learned of the engines of one class.
struct ClassLearner: Sendable {
    private static let calmForgetting = 0.9995
    /// While things drift, the last hundred outcomes or so decide.
    private static let driftForgetting = 0.985
    private static let driftSpan = TimeSpan.seconds(30)
    /// How far one answer moves the mean length, and what that is before any answer.
    private static let lengthPace = 0.005
    private static let usualLength = 128.0
    /// Before so many stretches the constants are no measure of what a step holds.
    private static let samplesOfKnownPace = 256

    /// The time to first token of requests that are computed in one step, and of those that need more.
    private var single: RelativeLeastSquares
    private var several: RelativeLeastSquares
    private var output: RelativeLeastSquares
    /// The step constants, fitted to stretches of answers whose steps are counted.
    private var pace: StepTimeLearner
    private var stepBudget: StepBudgetLearner
    private var ttftRatios = Array(repeating: ConformalRatios(), count: LatencyBasis.depths)
    private var tpotRatios = ConformalRatios()
    /// The means of answers' lengths in tokens and of their squares, as of an exponential distribution at first.
    private var meanLength = ClassLearner.usualLength
    private var meanSquareLength = 2 * ClassLearner.usualLength * ClassLearner.usualLength
    private var drift = DriftDetector(threshold: 30)
    private var driftsUntil = Instant(nanoseconds: .min)
    /// What predictions are made of.
    private(set) var model: ClassModel

    /// Starts from step constants, believed to within `doubt` times themselves.
    init(_ constants: StepConstants, stepBudget: Double, doubt: Double) {
        func start(_ prior: LatencyBasis.Vector, _ floors: LatencyBasis.Vector) -> RelativeLeastSquares {
            var deviations = floors
            for term in 0..<RelativeLeastSquares.terms where floors[term] > 0 {
                deviations[term] = doubt * max(prior[term].magnitude, floors[term])
            }
            return RelativeLeastSquares(prior: prior, deviations: deviations)
        }
        // The terms are milliseconds by constants that are learned apart: twice as much is a lot.
        var deviations = LatencyBasis.Vector(repeating: 1)
        deviations[0] = 5
        single = RelativeLeastSquares(prior: LatencyBasis.firstTokenPrior, deviations: deviations)
        deviations[0] = 20
        several = RelativeLeastSquares(prior: LatencyBasis.firstTokenPrior, deviations: deviations)
        pace = StepTimeLearner(
            prior: StepTimeModel(
                baseMilliseconds: constants.base, perDecodeMilliseconds: constants.decode,
                perContextTokenMilliseconds: constants.context, perPrefillTokenMilliseconds: constants.token),
            attentionMilliseconds: constants.attention)
        output = start(LatencyBasis.outputPrior(constants), [5, 2, 2, 5, 5, 5, 5, 5, 2, 5])
        self.stepBudget = StepBudgetLearner(tokens: stepBudget)
        model = ClassModel(
            constants: constants, stepBudget: stepBudget, single: single.coefficients, several: several.coefficients,
            output: output.coefficients)
    }

    /// Outcomes learned so far.
    var samples: Int { single.samples + several.samples }

    /// Whether it has lately turned out that predictions are systematically wrong.
    func isDrifting(now: Instant) -> Bool { now < driftsUntil }

    /// Learns a time to first token, in milliseconds.
    ///
    /// - Parameters:
    ///   - outcome: with the endpoint's own correction taken off.
    ///   - ratio: the true outcome over what was predicted.
    ///   - isKnownMiss: `missed` has told already that the 0.9 quantile did not hold.
    mutating func observeFirstToken(
        _ features: LatencyFeatures, outcome: Double, ratio: Double, isKnownMiss: Bool,
        now: Instant
    ) {
        if drift.observe(naturalLogarithm(ratio)) {
            driftsUntil = now + Self.driftSpan
            stepBudget.startAnew()
            doubt()
        }
        let forgetting = isDrifting(now: now) ? Self.driftForgetting : Self.calmForgetting
        let steps = LatencyBasis.steps(features, stepBudget: model.stepBudget)
        let basis = LatencyBasis.firstToken(
            features, steps: steps, stepBudget: model.stepBudget, constants: model.constants)
        if steps > 1 {
            several.observe(basis, outcome: outcome, forgetting: forgetting)
            model.several = several.coefficients
        } else {
            single.observe(basis, outcome: outcome, forgetting: forgetting)
            model.single = single.coefficients
        }
        let depth = LatencyBasis.depth(features, steps: steps)
        ttftRatios[depth].observe(
            ratio, usedFactor: Double(features.ttftP90Factor), isKnownMiss: isKnownMiss)
        model.ttftP90Factors[depth] = Float(ttftRatios[depth].factors[0])
    }

    /// So many times to first token are certain to exceed the predicted 0.9 quantile, though they are not known yet.
    ///
    /// - Parameter counts: by depth of the queue.
    mutating func missed(_ counts: InlineArray<6, Int>) {
        for depth in 0..<LatencyBasis.depths where counts[depth] > 0 {
            ttftRatios[depth].missed(counts[depth])
            model.ttftP90Factors[depth] = Float(ttftRatios[depth].factors[0])
        }
    }

    /// Learns from the steps in a stretch of an answer.
    mutating func observeSteps(_ sample: StepSample) {
        pace.observe(sample)
        model.constants.take(pace)
    }

    /// Learns from the longest gap in a stretch of an answer.
    ///
    /// - Parameter sample: the stretch.
    mutating func observeGap(
        _ milliseconds: Double, _ sample: StepSample, prompt: StepBudgetLearner.Prompt, now: Instant
    ) {
        guard pace.fittedSamples >= Self.samplesOfKnownPace, !isDrifting(now: now),
            stepBudget.observe(
                gap: milliseconds, decodes: sample.decodes, contextTokens: sample.contextTokens, prompt: prompt,
                constants: model.constants)
        else { return }
        model.stepBudget = stepBudget.tokens
        // What was learned was learned with steps of another size.
        doubt()
    }

    /// Learns a time per output token, in milliseconds, and the length of the answer.
    mutating func observeOutput(
        _ features: LatencyFeatures, outcome: Double, outputTokens: Double, ratio: Double,
        now: Instant
    ) {
        meanLength += Self.lengthPace * (outputTokens - meanLength)
        meanSquareLength += Self.lengthPace * (outputTokens * outputTokens - meanSquareLength)
        // What is left of an answer that is met at a random moment is E(n^2) / 2 E(n) on average: its residual life.
        model.constants.endsPerStep = min(max(2 * meanLength / max(meanSquareLength, 1), 1e-6), 1)
        output.observe(
            LatencyBasis.output(features, stepBudget: model.stepBudget), outcome: outcome,
            forgetting: isDrifting(now: now) ? Self.driftForgetting : Self.calmForgetting)
        model.output = output.coefficients
        tpotRatios.observe(ratio, usedFactor: Double(features.tpotP90Factor))
        model.tpotP90Factor = Float(tpotRatios.factors[0])
    }

    /// Keeps what was learned as a first guess only.
    mutating func doubt() {
        single.doubt()
        several.doubt()
        output.doubt()
        pace.doubt()
    }

    /// The factor from a predicted time to first token to its quantile.
    func ttftFactor(_ level: Double, depth: Int) -> Double { ttftRatios[depth].factor(level) }
}

/// The numbers from which latencies of one class are predicted: plain, so that the loop over endpoints stays cheap.
struct ClassModel: Sendable {
    var constants: StepConstants
    /// Tokens per engine step at most.
    var stepBudget: Double
    var single: LatencyBasis.Vector
    var several: LatencyBasis.Vector
    var output: LatencyBasis.Vector
    var ttftP90Factors = InlineArray<6, Float>(repeating: Float(ConformalRatios.unlearned[0]))
    var tpotP90Factor = Float(ConformalRatios.unlearned[0])

    /// The time to first token, in milliseconds.
    @inline(__always)
    func ttftMilliseconds(_ features: borrowing LatencyFeatures, steps: Double) -> Double {
        let basis = LatencyBasis.firstToken(
            features, steps: steps, stepBudget: stepBudget, constants: constants)
        let value = steps > 1 ? dot(several, basis) : dot(single, basis)
        // Whatever is fitted, the own prompt takes its time.
        let least = 0.5 * (constants.base + constants.token * Double(features.uncachedTokens))
        return min(max(value, least, 0.1), LatencyPredictor.longestMilliseconds)
    }

    /// The time per output token, in milliseconds.
    @inline(__always)
    func tpotMilliseconds(_ features: borrowing LatencyFeatures) -> Double {
        let value = dot(output, LatencyBasis.output(features, stepBudget: stepBudget))
        return min(max(value, 0.5 * constants.base, 0.01), LatencyPredictor.longestMilliseconds)
    }

    @inline(__always)
    private func dot(_ coefficients: borrowing LatencyBasis.Vector, _ basis: borrowing LatencyBasis.Vector) -> Double {
        var sum = 0.0
        for term in 0..<RelativeLeastSquares.terms { sum += coefficients[term] * basis[term] }
        return sum
    }
}
