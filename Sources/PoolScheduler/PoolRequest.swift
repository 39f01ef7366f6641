public import Basics
public import InferenceAPI
public import Pool

/// A request as the scheduler sees it: no bytes, only what decisions need.
public struct PoolRequest: Hashable, Sendable {
    /// The caller's name for the request, unique among those the scheduler holds.
    public var id: UInt64
    /// Its band; below zero is sheddable.
    public var priority: Int
    /// The model that it goes to; empty if that is not known.
    public var model: String
    /// Prompt tokens, estimated from the body or exact.
    public var promptTokens: Int
    /// Prompt tokens that the endpoint is expected to have cached.
    public var cachedPromptTokens: Int
    /// The limit on generated tokens that the request names; nil if it names none.
    public var maxOutputTokens: Int?
    /// Whether the request runs to its limit whatever the model says (`ignore_eos`).
    public var runsToLimit: Bool
    /// Body bytes held while it waits.
    public var bytes: Int
    /// How long it may wait, if that is less than the pool's limit.
    public var timeToLive: TimeSpan?
    /// When its answer is worth nothing any more; sheddable requests are ordered by it.
    public var deadline: Instant?
    /// Whether it is a message that a durable queue holds: it may wait until its deadline, is not counted against the
    /// gateway's queue limits, and may be called back at any time because nobody has seen a byte of its answer.
    public var isMessage: Bool
    /// Whether its answer is sent token by token. The first token of an answer in one piece is not seen; it is assumed
    /// once the prompt should have been computed.
    public var streams: Bool
    /// Whether its answer is one sequence, generated token after token, so that its length and its time tell the pace of
    /// the engine. Several choices, or several prompts in one request, are generated side by side.
    public var isOneSequence: Bool
    /// Whose it is (the fairness id); requests of one band share the pool by it.
    public var flow: String
    /// Its prompt as a chain of hashes of text, for the prefix index.
    public var promptBlocks: PromptBlocks
    /// The same of tokens, where somebody has tokenized it; endpoints whose caches are known exactly are matched by it.
    public var tokenBlocks: PromptBlocks
    /// The limit on its time to first token in milliseconds, if it names one.
    public var ttftLimitMilliseconds: Double?
    /// The limit on its time per output token in milliseconds, if it names one.
    public var tpotLimitMilliseconds: Double?
    /// The LoRA adapter that it wants, by the name that engines report; nil for the base model.
    public var adapter: String?
    /// What it belongs to: requests of one session should meet their own cache.
    public var session: String?
    /// The only endpoints that it may go to; nil for all.
    public var allowedEndpoints: [EndpointID]?
    /// Whether a receipt of the decision is to be kept.
    public var isExplained: Bool
    /// Request headers that the pool's routing policy reads, by lower-case name.
    public var routingHeaders: [String: String]

    /// Creates a request.
    public init(
        id: UInt64, priority: Int, model: String = "", promptTokens: Int, cachedPromptTokens: Int = 0,
        maxOutputTokens: Int? = nil,
        runsToLimit: Bool = false, bytes: Int = 0, timeToLive: TimeSpan? = nil, deadline: Instant? = nil,
        isMessage: Bool = false, streams: Bool = true, isOneSequence: Bool = true, flow: String = "",
        promptBlocks: PromptBlocks = .unknown, tokenBlocks: PromptBlocks = .unknown,
        ttftLimitMilliseconds: Double? = nil, tpotLimitMilliseconds: Double? = nil, adapter: String? = nil,
        session: String? = nil, allowedEndpoints: [EndpointID]? = nil, isExplained: Bool = false,
        routingHeaders: [String: String] = [:]
    ) {
        self.id = id
        self.priority = priority
        self.model = model
        self.promptTokens = promptTokens
        self.cachedPromptTokens = cachedPromptTokens
        self.maxOutputTokens = maxOutputTokens
        self.runsToLimit = runsToLimit
        self.bytes = bytes
        self.timeToLive = timeToLive
        self.deadline = deadline
        self.isMessage = isMessage
        self.streams = streams
        self.isOneSequence = isOneSequence
        self.flow = flow
        self.promptBlocks = promptBlocks
        self.tokenBlocks = tokenBlocks
        self.ttftLimitMilliseconds = ttftLimitMilliseconds
        self.tpotLimitMilliseconds = tpotLimitMilliseconds
        self.adapter = adapter
        self.session = session
        self.allowedEndpoints = allowedEndpoints
        self.isExplained = isExplained
        self.routingHeaders = routingHeaders
    }
}
