public import InferenceAPI

/// What a complete answer told about itself; nil for what it did not tell.
public struct AnswerFacts: Hashable, Sendable {
    /// Tokens of the prompt, as the engine counted them.
    public var promptTokens: Int?
    /// Those of them that the engine had cached.
    public var cachedPromptTokens: Int?
    /// Tokens generated.
    public var outputTokens: Int?
    /// The chain of the prompt continued by the generated text: what the endpoint has cached now. Empty if unknown.
    public var blocks: PromptBlocks

    /// Creates the facts.
    public init(
        promptTokens: Int? = nil, cachedPromptTokens: Int? = nil, outputTokens: Int? = nil,
        blocks: PromptBlocks = .unknown
    ) {
        self.promptTokens = promptTokens
        self.cachedPromptTokens = cachedPromptTokens
        self.outputTokens = outputTokens
        self.blocks = blocks
    }
}
