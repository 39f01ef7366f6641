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
/// wrong by a factor, then in its parts. No constant gets below a fiftieth of its share of that.
///
/// Samples further than a factor of `strangeRatio` from the belief are not fitted. They vote: only when they clearly
/// outnumber the others does the belief jump by their ratio and start anew. A cache of whole answers, a stall, or what a
/// server invents now and then thus changes nothing; another engine behind the same address is believed within
/// `votesToJump` samples.
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
    private static let priorWeight = 0.3
    private static let smallestShare = 0.02
    /// Beliefs stay within this factor of the prior, whatever a server claims.
    private static let largestScale = 10_000.0
    /// What is left of the weight of the samples so far when they are doubted.
    private static let doubtful = 0.01
    private static let samplesPerFit = 4
    private static let sweeps = 24

    /// The constants that it started from.
    public private(set) var prior: StepTimeModel
    /// The constants believed now.
    public private(set) var model: StepTimeModel
    /// The cost of attention believed now, in milliseconds per prompt token and token before it.
    public private(set) var attentionMilliseconds: Double
    private let attentionPrior: Double
    /// Samples that were fitted since the last start or jump.
    public private(set) var fittedSamples = 0
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
        guard !isStrange(observed / believed) else { return }
        let weight = 1 / (max(observed, believed) * max(observed, believed))
        let kept = 1 - 1 / Self.memory
        normal.fade(kept)
        target *= kept
        normal.add(parts, weight: weight)
        target += parts * (weight * observed)
        fittedSamples += 1
        sinceFit += 1
        if sinceFit >= Self.samplesPerFit {
            sinceFit = 0
            fit()
        }
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
        let largest = priorVector * Self.largestScale
        let smallest = priorVector * (1 / Self.largestScale)
        let moved = wanted.clamped(lowerBound: smallest, upperBound: largest)
        scale *= moved[0] > 0 && vector[0] > 0 ? moved[0] / vector[0] : 1
        vector = moved
        normal = SymmetricMatrix()
        target = .zero
        fittedSamples = 0
        votes = 0
    }

    /// Solves for the constants, by coordinate descent from the present ones so that none gets too small.
    private mutating func fit() {
        let shape = priorVector
        let confidence = Self.priorWeight / (scale * scale)
        let numerator = (shape * target).sum() + confidence * scale
        let denominator = normal.quadratic(shape) + confidence
        let fitted = min(max(numerator / denominator, 1 / Self.largestScale), Self.largestScale)
        let expected = shape * fitted
        var constants = vector
        for _ in 0..<Self.sweeps {
            for index in 0..<5 where expected[index] > 0 {
                let hold = Self.priorWeight / (expected[index] * expected[index])
                let rest = target[index] - normal.row(index, times: constants) + normal[index] * constants[index]
                let value = (rest + hold * expected[index]) / (normal[index] + hold)
                constants[index] = max(value, Self.smallestShare * expected[index])
            }
        }
        scale = fitted
        vector = constants
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
