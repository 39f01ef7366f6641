/// Token counts as a model server reports them at the end of a response.
public struct TokenUsage: Hashable, Sendable {
    /// Tokens of the prompt: `prompt_tokens`, or `input_tokens` in the Responses and Messages APIs.
    public var promptTokens = 0
    /// Generated tokens: `completion_tokens` or `output_tokens`.
    public var completionTokens = 0
    /// Prompt tokens found in the prefix cache: `prompt_tokens_details.cached_tokens`, `input_tokens_details.cached_tokens`
    /// or `cache_read_input_tokens`.
    public var cachedPromptTokens = 0

    /// Creates counts.
    public init(promptTokens: Int = 0, completionTokens: Int = 0, cachedPromptTokens: Int = 0) {
        self.promptTokens = promptTokens
        self.completionTokens = completionTokens
        self.cachedPromptTokens = cachedPromptTokens
    }
}
