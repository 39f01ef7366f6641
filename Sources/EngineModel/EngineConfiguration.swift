public import Basics

/// In which order an engine serves waiting requests, and whose KV blocks it takes when none are left.
public enum SchedulingPolicy: String, Hashable, Sendable, CaseIterable {
    /// In order of arrival; the request admitted last is preempted first.
    case firstComeFirstServed = "fcfs"
    /// By `priority` (lower is more urgent), then arrival; the least urgent, latest request is preempted first.
    /// A request that runs is never displaced because the batch is full or slow, only for KV blocks.
    case priority
}

/// An engine that knows which work is batch: each step takes real-time work first and is then filled with batch work up
/// to a time limit.
///
/// Batch prompts are computed in pieces then, and batch requests that run may sit out a step. Real-time work takes KV
/// blocks and places in the running batch from batch work; no other order exists between the two.
///
/// No gateway can do this; it is the yardstick against which gateways are measured (`workloads.md` C.4, "oracle").
public struct BatchFill: Hashable, Sendable {
    /// Batch work joins a step only while the predicted time of the step stays at or below this, in milliseconds.
    public var stepMilliseconds: Double

    /// Creates a fill up to so many milliseconds per step.
    public init(stepMilliseconds: Double) { self.stepMilliseconds = stepMilliseconds }
}

/// Everything that makes one model server differ from another (`workloads.md` A.5).
public struct EngineConfiguration: Hashable, Sendable {
    /// The time of one step as a function of its contents.
    public var stepTime: StepTimeModel
    /// Time per request spent outside the step loop (HTTP, validation, queue insertion), in milliseconds.
    ///
    /// The engine does not apply it: its driver submits a request this long after it arrived, so that it is part of
    /// the time to first token and of the end-to-end time but never of the time per token.
    public var apiMilliseconds: Double
    /// The most requests that run at once (`max_num_seqs`).
    public var maxSequences: Int
    /// The most tokens computed in one step (`max_num_batched_tokens`).
    public var maxBatchedTokens: Int
    /// The most prompt tokens of one request computed in one step; 0 means no such limit.
    public var longPrefillTokenThreshold: Int
    /// The number of KV blocks.
    public var kvBlocks: Int
    /// Tokens per KV block.
    public var blockSizeTokens: Int
    /// Order of waiting requests and choice of preemption victims.
    public var policy: SchedulingPolicy
    /// Whether blocks of a prompt computed before are reused.
    public var prefixCaching: Bool
    /// Whether a prompt may be computed in pieces. If not, a prompt waits until all of it fits in a step, and the
    /// budget of a step is at least the longest request seen (vLLM demands the same of its settings).
    public var chunkedPrefill: Bool
    /// Standard deviation of the logarithm of the step time; 0 means no noise. 0.03 is realistic.
    public var stepNoiseSigma: Double
    /// Set for an engine that fills its steps with batch work by itself.
    public var batchFill: BatchFill?

    /// Creates a configuration; everything but the step time and the size of the KV cache has vLLM's usual value.
    public init(
        stepTime: StepTimeModel, kvBlocks: Int, apiMilliseconds: Double = 20, maxSequences: Int = 256,
        maxBatchedTokens: Int = 2048, longPrefillTokenThreshold: Int = 0, blockSizeTokens: Int = 16,
        policy: SchedulingPolicy = .firstComeFirstServed, prefixCaching: Bool = true, chunkedPrefill: Bool = true,
        stepNoiseSigma: Double = 0, batchFill: BatchFill? = nil
    ) {
        self.stepTime = stepTime
        self.apiMilliseconds = apiMilliseconds
        self.maxSequences = maxSequences
        self.maxBatchedTokens = maxBatchedTokens
        self.longPrefillTokenThreshold = longPrefillTokenThreshold
        self.kvBlocks = kvBlocks
        self.blockSizeTokens = blockSizeTokens
        self.policy = policy
        self.prefixCaching = prefixCaching
        self.chunkedPrefill = chunkedPrefill
        self.stepNoiseSigma = stepNoiseSigma
        self.batchFill = batchFill
    }

    /// The tokens that the KV cache holds.
    public var kvTokens: Int { kvBlocks * blockSizeTokens }
}

extension EngineConfiguration {
    /// The names that `preset(named:)` knows.
    public static let presetNames = [
        "llama-8b-h100", "llama-8b-h100-published", "llama-8b-h200", "llama-70b-h100x4", "llama-70b-h100x8",
        "llama-70b-h200x2",
    ]

    /// A model on an accelerator, or nil for an unknown name.
    ///
    /// Constants: table "Parameter sets" of `workloads.md` A.5, partly scaled from one another. The 8B/H100 row is fitted
    /// anew to the replay of the eight anchor measurements, within 4 % of that table: `docs/decisions/0002-engine-constants.md`.
    /// `llama-8b-h100-published` has that table's own values, for comparison with figures that were made with them.
    public static func preset(named name: String) -> EngineConfiguration? {
        switch name {
        case "llama-8b-h100": .scaled(base: 6.65, decode: 0.0228, context: 5.5e-5, prefill: 0.02, kvBlocks: 26_312)
        case "llama-8b-h100-published":
            .scaled(base: 6.86, decode: 0.022, context: 5.5e-5, prefill: 0.0202, kvBlocks: 26_312)
        case "llama-8b-h200": .scaled(base: 5.2, decode: 0.022, context: 3.9e-5, prefill: 0.0202, kvBlocks: 54_421)
        case "llama-70b-h100x4": .scaled(base: 18.5, decode: 0.02, context: 3.5e-5, prefill: 0.066, kvBlocks: 30_450)
        case "llama-70b-h100x8": .scaled(base: 11.5, decode: 0.02, context: 1.8e-5, prefill: 0.043, kvBlocks: 88_941)
        case "llama-70b-h200x2": .scaled(base: 27, decode: 0.02, context: 4.9e-5, prefill: 0.11, kvBlocks: 23_691)
        default: nil
        }
    }

    private static func scaled(
        base: Double, decode: Double, context: Double, prefill: Double, kvBlocks: Int
    ) -> EngineConfiguration {
        EngineConfiguration(
            stepTime: StepTimeModel(
                baseMilliseconds: base, perDecodeMilliseconds: decode, perContextTokenMilliseconds: context,
                perPrefillTokenMilliseconds: prefill),
            kvBlocks: kvBlocks)
    }
}
