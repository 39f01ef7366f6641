import Basics

/// The place of one request in the engine. Plain numbers only, so that the loop over the running batch stays cheap;
/// what needs a heap allocation lies in arrays beside it.
struct Slot: Sendable {
    enum State: Sendable { case vacant, waiting, running }

    var id: UInt64
    /// Position in the order of arrival, never used twice.
    var sequence: UInt64
    /// The priority under the priority policy, else 0: the order of waiting is by rank, then sequence.
    var rank: Int
    var isBatch: Bool
    var promptTokens: Int
    var outputTokens: Int
    var submitted: Instant
    var state = State.waiting
    /// Tokens whose keys and values are in the KV cache.
    var computedTokens = 0
    var generatedTokens = 0
    /// Tokens of this request in the step under way.
    var scheduledTokens = 0
    /// KV blocks held, shared ones included.
    var heldBlocks = 0
    /// Leading blocks of the prompt that were found in, or offered to, the prefix cache.
    var publishedBlocks = 0
    /// Prompt tokens found in the prefix cache at the first admission; -1 before it.
    var cachedTokens = -1

    init(
        id: UInt64, sequence: UInt64, rank: Int, isBatch: Bool, promptTokens: Int, outputTokens: Int,
        submitted: Instant
    ) {
        self.id = id
        self.sequence = sequence
        self.rank = rank
        self.isBatch = isBatch
        self.promptTokens = promptTokens
        self.outputTokens = outputTokens
        self.submitted = submitted
    }

    /// Prompt and generated tokens.
    var knownTokens: Int { promptTokens + generatedTokens }

    /// Tokens to compute before the next one can be sampled: 1 while decoding.
    var remainingTokens: Int { knownTokens - computedTokens }

    /// Whether the next step of this running request is a decode and not a part of a prompt.
    var isDecoding: Bool { generatedTokens > 0 && remainingTokens == 1 }
}
