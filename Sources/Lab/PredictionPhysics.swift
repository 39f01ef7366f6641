import Basics
import EngineModel

/// The engines of the prediction world: continuous batching by `EngineModel`, with step times of its own making.
///
/// `EngineModel` knows no cost of attention in prompts. It is added here: prompts are computed in order of arrival, so the
/// tokens of a step belong to the first unfinished ones. (Only what a preempted request computes again is taken for free
/// of it.)
struct PredictionPhysics {
    /// What a step takes.
    struct Law {
        var step: StepTimeModel
        /// Per prompt token and token before it, in milliseconds.
        var perAttentionMilliseconds: Double

        /// The law of shared reference `scheduling.md` 4.6.
        static let reference = Law(
            step: StepTimeModel(
                baseMilliseconds: 6.5, perDecodeMilliseconds: 0.022, perContextTokenMilliseconds: 1.35e-5,
                perPrefillTokenMilliseconds: 0.036),
            perAttentionMilliseconds: 5.5e-7)
    }

    private struct Prompt {
        var id: UInt64
        var computedTokens: Double
        var remainingTokens: Double
    }

    static let blockTokens = 16
    static let kvTokens = 450_000 / blockTokens * blockTokens
    private static let noiseSigma = 0.04

    var law = Law.reference
    private(set) var stepEnds: [Instant?]
    private var engines: [Engine]
    private var prompts: [[Prompt]]
    private var noise: SeededGenerator

    init(replicas: Int, seed: UInt64, stepBudgetTokens: Int = 2048) {
        let configuration = EngineConfiguration(
            stepTime: Law.reference.step, kvBlocks: Self.kvTokens / Self.blockTokens, apiMilliseconds: 0,
            maxSequences: 256,
            maxBatchedTokens: stepBudgetTokens, blockSizeTokens: Self.blockTokens)
        engines = (0..<replicas).map { _ in Engine(configuration: configuration, emitsEveryToken: true) }
        prompts = Array(repeating: [], count: replicas)
        stepEnds = Array(repeating: nil, count: replicas)
        noise = SeededGenerator(seed: seed ^ 0x5EED)
    }

    /// Preemptions so far.
    var preemptions: Int { engines.reduce(0) { $0 + $1.load.preemptions } }

    /// The share of a replica's KV cache that is in use.
    func kvUsage(_ replica: Int) -> Double { engines[replica].load.kvUsage }

    /// The replica whose step ends first, and when.
    var nextStepEnd: (replica: Int, at: Instant)? {
        var next: (replica: Int, at: Instant)?
        for (replica, end) in stepEnds.enumerated() {
            guard let end else { continue }
            if next.map({ end < $0.at }) ?? true { next = (replica, end) }
        }
        return next
    }

    mutating func submit(_ request: PredictionRequest, id: UInt64, cachedTokens: Int, to replica: Int, now: Instant) {
        var hashes: [UInt64] = []
        if let prefix = request.prefix {
            // A lost prefix is one that the engine has not seen.
            let salt = request.isStale ? (id &+ 1) &* 0x9E37_79B9_7F4A_7C15 : 0
            hashes = (0..<request.prefixTokens / Self.blockTokens).map { (UInt64(prefix) << 32 | UInt64($0)) ^ salt }
        }
        let taken = engines[replica].submit(
            EngineRequest(
                id: id, promptTokens: request.promptTokens, outputTokens: request.outputTokens,
                promptBlockHashes: hashes),
            now: now)
        guard taken else { return }
        prompts[replica].append(
            Prompt(
                id: id, computedTokens: Double(cachedTokens),
                remainingTokens: Double(request.promptTokens - cachedTokens)))
        if stepEnds[replica] == nil { beginStep(replica, now: now) }
    }

    /// Ends the step under way and begins the next one.
    mutating func finishStep(_ replica: Int, now: Instant) -> [EngineEvent] {
        var events: [EngineEvent] = []
        engines[replica].finishStep(now: now, into: &events)
        for case .firstToken(let id) in events { prompts[replica].removeAll { $0.id == id } }
        beginStep(replica, now: now)
        return events
    }

    private mutating func beginStep(_ replica: Int, now: Instant) {
        stepEnds[replica] = nil
        guard engines[replica].beginStep(now: now) != nil else { return }
        let step = engines[replica].step
        var left = Double(step.prefillTokens)
        var attention = 0.0
        for index in prompts[replica].indices where left > 0 {
            let part = min(left, prompts[replica][index].remainingTokens)
            attention += part * (prompts[replica][index].computedTokens + part / 2)
            prompts[replica][index].computedTokens += part
            prompts[replica][index].remainingTokens -= part
            left -= part
        }
        let milliseconds =
            law.step.stepMilliseconds(
                decodes: step.decodes, contextTokens: step.contextTokens, prefillTokens: step.prefillTokens)
            + law.perAttentionMilliseconds * attention
        let factor = exponential(Self.noiseSigma * standardNormal(using: &noise))
        stepEnds[replica] = now + .milliseconds(milliseconds * factor)
    }
}
