public import Basics

/// What one request's progress over a stretch of time tells of an engine's steps: how long they took, and what they held.
public struct StepSample: Hashable, Sendable {
    /// Steps in the stretch: the tokens that the request got in it.
    public var steps: Double
    /// Length of the stretch, in milliseconds.
    public var milliseconds: Double
    /// Requests that decoded, averaged over the stretch.
    public var decodes: Double
    /// The sum of their contexts, averaged over the stretch, in tokens.
    public var contextTokens: Double
    /// Prompt tokens that the engine computed in the stretch.
    public var prefillTokens: Double
    /// Their attention work: each counts the tokens before it.
    public var attention: Double

    /// Creates a sample.
    public init(
        steps: Double, milliseconds: Double, decodes: Double, contextTokens: Double, prefillTokens: Double,
        attention: Double = 0
    ) {
        self.steps = steps
        self.milliseconds = milliseconds
        self.decodes = decodes
        self.contextTokens = contextTokens
        self.prefillTokens = prefillTokens
        self.attention = attention
    }
}

/// Learns the constants of an engine's step time from what a gateway sees of it: four, and where it is asked for the
/// cost of attention in prompts.
///
/// Least squares on the mean step times of stretches of answers, each weighted by its own relative size and forgotten
/// exponentially, as the sums `A` and `b` of the normal equations (recursive least squares without its inverse). What the
/// samples leave open is held by the prior's proportions, at the scale that fits best: a wrong prior is first found to be
/// wrong by a factor, then in its parts. It holds each constant by the square of its logarithm, so that one that is off by
/// fifty is given up for not much more evidence than one that is off by two: proportions differ that much between kinds of
/// hardware. No constant gets below a fiftieth of its share.
///
/// Samples further than a factor of `strangeRatio` from the belief are fitted only if a constant of which little is known
/// yet can explain them: where prompts were rare, the first slow stretch beside one tells what prompts cost. The others
/// vote: only when they clearly outnumber those that fit does the belief jump by their ratio and start anew. A cache of
/// whole answers, a stall, or what a server invents now and then thus changes nothing; another engine behind the same
/// address is believed within `votesToJump` samples.
public struct StepTimeLearner: Sendable {
    /// Samples of fewer steps are not looked at: their time goes to the prompt and the way.
    public static let fewestSteps = 8.0
    private static let strangeRatio = 2.0
    private static let votesToJump = 16
    /// One jump changes the belief by no more than this factor either way.
    private static let largestJump = 4.0
    /// Samples that count in the long run.
    private static let memory = 4000.0
    /// What the prior counts for, in samples.
    private static let priorWeight = 0.1
    private static let smallestShare = 0.02
    /// Beliefs stay within this factor of the prior, whatever a server claims.
    private static let largestScale = 10_000.0
    /// What is left of the weight of the samples so far when they are doubted.
    private static let doubtful = 0.01
    /// What a strange sample may contradict and still be fitted: one other sample that would be off by its whole size.
    private static let largestContradiction = 1.0
    /// Each of the first samples is fitted at once.
    private static let firstSamples = 16
    private static let samplesPerFit = 4
    private static let sweeps = 24
    private static let newtonSteps = 6

    /// The constants that it started from.
    public private(set) var prior: StepTimeModel
    /// The constants believed now.
    public private(set) var model: StepTimeModel
    /// The cost of attention believed now, in milliseconds per prompt token and token before it.
    public private(set) var attentionMilliseconds: Double
    private let attentionPrior: Double
    /// Samples that were fitted since the last start or jump.
    public private(set) var fittedSamples = 0
    /// The most requests that decoded together in a sample that was fitted since then, on average over its stretch.
    public private(set) var mostDecodes = 0.0
    private var scale = 1.0
    private var normal = SymmetricMatrix()
    private var target = SIMD8<Double>.zero
    private var votes = 0
    private var strangeLogarithm = 0.0
    private var sinceFit = 0

    /// Creates a learner that believes `prior`.
    ///
    /// - Parameter attentionMilliseconds: what to believe of the cost of attention; 0 leaves it out for good.
    public init(prior: StepTimeModel, attentionMilliseconds: Double = 0) {
        self.prior = prior
        model = prior
        attentionPrior = max(0, attentionMilliseconds)
        self.attentionMilliseconds = attentionPrior
    }

    /// How many times faster than the prior the engine is believed to be, judged by its shortest step.
    public var speedFactor: Double {
        prior.baseMilliseconds > 0 && model.baseMilliseconds > 0 ? prior.baseMilliseconds / model.baseMilliseconds : 1
    }

    /// Forgets what has been learned and believes `prior` from now on: another engine may be behind the address.
    public mutating func restart(prior: StepTimeModel) {
        self = StepTimeLearner(prior: prior, attentionMilliseconds: attentionPrior)
    }

    /// Keeps what was learned as a first guess only: the next samples count for most.
    public mutating func doubt() {
        normal.fade(Self.doubtful)
        target *= Self.doubtful
    }

    /// Counts one stretch. What cannot be true of an engine is ignored.
    public mutating func observe(_ sample: StepSample) {
        guard sample.steps >= Self.fewestSteps, sample.steps.isFinite, sample.milliseconds.isFinite,
            (0...1e7).contains(sample.decodes), (0...1e12).contains(sample.contextTokens),
            (0...1e12).contains(sample.prefillTokens), (0...1e15).contains(sample.attention)
        else { return }
        let parts = SIMD8(
            1, sample.decodes, sample.contextTokens, sample.prefillTokens / sample.steps,
            attentionPrior > 0 ? sample.attention / sample.steps : 0, 0, 0, 0)
        let believed = (parts * vector).sum()
        guard believed > 0 else { return }
        let observed = max(sample.milliseconds / sample.steps, believed / Self.largestScale)
        guard isExplainable(observed - believed, parts) || !isStrange(observed / believed) else { return }
        let weight = 1 / (max(observed, believed) * max(observed, believed))
        let kept = 1 - 1 / Self.memory
        normal.fade(kept)
        target *= kept
        normal.add(parts, weight: weight)
        target += parts * (weight * observed)
        fittedSamples += 1
        mostDecodes = max(mostDecodes, sample.decodes)
        sinceFit += 1
        if sinceFit >= Self.samplesPerFit || fittedSamples <= Self.firstSamples {
            sinceFit = 0
            fit()
        }
    }

    /// Whether another value of one constant explains a sample that is off by `excess` milliseconds per step, and what was
    /// fitted so far says next to nothing against it. The shortest step is no such constant: every sample tells of it.
    private func isExplainable(_ excess: Double, _ parts: SIMD8<Double>) -> Bool {
        let constants = vector
        for index in 1..<5 where parts[index] > 0 && constants[index] > 0 {
            let change = excess / parts[index]
            // What the samples so far pull this constant by: those that want the same change are no contradiction.
            let pull = target[index] - normal.row(index, times: constants)
            let contradiction = (change * normal[index] - 2 * pull) * change
            if constants[index] + change > 0, contradiction < Self.largestContradiction { return true }
        }
        return false
    }

    /// Whether a sample is too far off to be fitted; it has voted then.
    private mutating func isStrange(_ ratio: Double) -> Bool {
        guard ratio > Self.strangeRatio || ratio < 1 / Self.strangeRatio else {
            votes -= votes.signum()
            return false
        }
        let logarithm = naturalLogarithm(ratio)
        if votes.signum() * (logarithm > 0 ? 1 : -1) <= 0 { strangeLogarithm = logarithm }
        votes += logarithm > 0 ? 1 : -1
        strangeLogarithm += 0.2 * (logarithm - strangeLogarithm)
        if abs(votes) >= Self.votesToJump { jump() }
        return true
    }

    private mutating func jump() {
        let limit = naturalLogarithm(Self.largestJump)
        let wanted = vector * exponential(min(max(strangeLogarithm, -limit), limit))
        let moved = withinBounds(wanted)
        scale *= moved[0] > 0 && vector[0] > 0 ? moved[0] / vector[0] : 1
        vector = moved
        normal = SymmetricMatrix()
        target = .zero
        fittedSamples = 0
        mostDecodes = 0
        votes = 0
    }

    private func withinBounds(_ constants: SIMD8<Double>) -> SIMD8<Double> {
        let prior = priorVector
        return constants.clamped(lowerBound: prior * (1 / Self.largestScale), upperBound: prior * Self.largestScale)
    }

    /// Solves for the constants, by coordinate descent from the present ones so that none gets too small.
    private mutating func fit() {
        let shape = priorVector
        let wanted = Self.held(at: scale, curvature: normal.quadratic(shape), pull: (shape * target).sum())
        let fitted = min(max(wanted, 1 / Self.largestScale), Self.largestScale)
        let expected = shape * fitted
        var constants = vector
        for _ in 0..<Self.sweeps {
            for index in 0..<5 where expected[index] > 0 {
                let rest = target[index] - normal.row(index, times: constants) + normal[index] * constants[index]
                let value = Self.held(at: expected[index], curvature: normal[index], pull: rest)
                constants[index] = max(value, Self.smallestShare * expected[index])
            }
        }
        scale = fitted
        vector = withinBounds(constants)
    }

    /// The `x` with the least `curvature * x^2 / 2 - pull * x + priorWeight * ln(x / expected)^2 / 2`.
    ///
    /// Newton's method on the logarithm, from the larger of what the samples and the prior alone would say: from there the
    /// derivative is convex, so that the steps cannot pass the least value that they approach.
    private static func held(at expected: Double, curvature: Double, pull: Double) -> Double {
        guard curvature > 0 else { return expected }
        let start = max(expected, pull / curvature)
        var logarithm = naturalLogarithm(start / expected)
        var value = start
        for _ in 0..<newtonSteps {
            let gradient = (curvature * value - pull) * value + priorWeight * logarithm
            let slope = (2 * curvature * value - pull) * value + priorWeight
            guard slope > 0, abs(gradient) > 1e-6 * slope else { break }
            logarithm -= gradient / slope
            value = expected * exponential(max(logarithm, -20))
        }
        return value
    }

    private var priorVector: SIMD8<Double> { Self.vector(prior, attention: attentionPrior) }

    private var vector: SIMD8<Double> {
        get { Self.vector(model, attention: attentionMilliseconds) }
        set {
            model = StepTimeModel(
                baseMilliseconds: newValue[0], perDecodeMilliseconds: newValue[1],
                perContextTokenMilliseconds: newValue[2], perPrefillTokenMilliseconds: newValue[3])
            attentionMilliseconds = newValue[4]
        }
    }

    private static func vector(_ model: StepTimeModel, attention: Double) -> SIMD8<Double> {
        SIMD8(
            model.baseMilliseconds, model.perDecodeMilliseconds, model.perContextTokenMilliseconds,
            model.perPrefillTokenMilliseconds, attention, 0, 0, 0)
    }
}

/// A symmetric matrix of five rows.
private struct SymmetricMatrix {
    private var rows = [SIMD8<Double>](repeating: .zero, count: 5)

    /// The element on the diagonal.
    subscript(index: Int) -> Double { rows[index][index] }

    mutating func fade(_ factor: Double) {
        for index in 0..<5 { rows[index] *= factor }
    }

    mutating func add(_ vector: SIMD8<Double>, weight: Double) {
        for index in 0..<5 { rows[index] += vector * (weight * vector[index]) }
    }

    func row(_ index: Int, times vector: SIMD8<Double>) -> Double { (rows[index] * vector).sum() }

    func quadratic(_ vector: SIMD8<Double>) -> Double {
        var sum = 0.0
        for index in 0..<5 { sum += vector[index] * row(index, times: vector) }
        return sum
    }
}
