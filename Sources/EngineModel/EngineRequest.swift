public import Basics

/// One request as the engine sees it: lengths instead of text.
public struct EngineRequest: Hashable, Sendable {
    /// The caller's name for it, unique among the requests in the engine.
    public var id: UInt64
    /// Length of the prompt, in tokens; at least one is assumed.
    public var promptTokens: Int
    /// How many tokens it will generate; at least one is assumed.
    public var outputTokens: Int
    /// Urgency under `SchedulingPolicy.priority`: a LOWER number is more urgent, as in vLLM.
    public var priority: Int
    /// Whether it is batch work. Only an engine with `BatchFill` looks at it.
    public var isBatch: Bool
    /// Hashes of the full blocks of the prompt, each chained with the one before; empty means nothing to share.
    public var promptBlockHashes: [UInt64]

    /// Creates a request.
    public init(
        id: UInt64, promptTokens: Int, outputTokens: Int, priority: Int = 0, isBatch: Bool = false,
        promptBlockHashes: [UInt64] = []
    ) {
        self.id = id
        self.promptTokens = promptTokens
        self.outputTokens = outputTokens
        self.priority = priority
        self.isBatch = isBatch
        self.promptBlockHashes = promptBlockHashes
    }
}

/// What happened in a step, reported when the step ends.
public enum EngineEvent: Hashable, Sendable {
    /// The request entered the running batch when this step began, so long after it was submitted. Comes again after a
    /// preemption.
    case admitted(id: UInt64, waited: TimeSpan)
    /// The prompt is computed and the first token is out.
    case firstToken(id: UInt64)
    /// A later token is out; only from an engine that emits every token.
    case token(id: UInt64)
    /// The last token is out and the request has left the engine; follows the event of that token, if it has one.
    case finished(id: UInt64, promptTokens: Int, cachedTokens: Int, outputTokens: Int)
    /// The request lost its KV blocks to another one and waits to be computed again; its tokens so far remain valid.
    case preempted(id: UInt64)
}

/// What an engine is carrying, and what it has done since it was created.
public struct EngineLoad: Hashable, Sendable {
    /// Requests in the running batch.
    public internal(set) var running = 0
    /// Requests that wait, preempted ones included.
    public internal(set) var waiting = 0
    /// KV blocks in use by running requests; blocks kept only for reuse count as free.
    public internal(set) var kvBlocksUsed = 0
    /// Share of the KV blocks in use, 0...1.
    public internal(set) var kvUsage = 0.0
    /// Preemptions so far.
    public internal(set) var preemptions = 0
    /// Prompt tokens of the requests that have had a first token, cached ones included.
    public internal(set) var promptTokens = 0
    /// Tokens generated so far.
    public internal(set) var generationTokens = 0
    /// Time spent in steps.
    public internal(set) var busy = TimeSpan.zero
    /// Prompt tokens looked up in the prefix cache.
    public internal(set) var prefixQueryTokens = 0
    /// Prompt tokens found in the prefix cache.
    public internal(set) var prefixHitTokens = 0
}

/// The contents of one step.
public struct StepContents: Hashable, Sendable {
    /// Requests that produce one token each from their KV cache.
    public internal(set) var decodes = 0
    /// The context lengths of those, summed, in tokens.
    public internal(set) var contextTokens = 0
    /// Prompt tokens computed (and tokens computed again after a preemption).
    public internal(set) var prefillTokens = 0
    /// All tokens of the step: never more than its budget.
    public var tokens: Int { decodes + prefillTokens }
}
