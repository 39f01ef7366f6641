/// Tokens that a request takes up, estimated before it runs or counted after it ended.
public struct TokenUse: Hashable, Sendable {
    /// More tokens than this are counted as this many, so that no sum of what clients claim can overflow.
    public static let limit = 1 << 30

    /// Prompt tokens that have to be computed: those the endpoint has cached cost next to nothing.
    public let uncachedInputTokens: Int
    /// Tokens that are generated.
    public let outputTokens: Int

    /// No tokens at all.
    public static let none = TokenUse(uncachedInputTokens: 0, outputTokens: 0)

    /// Creates a use of tokens; numbers outside `0...limit` are clamped.
    public init(uncachedInputTokens: Int, outputTokens: Int) {
        self.uncachedInputTokens = min(max(0, uncachedInputTokens), Self.limit)
        self.outputTokens = min(max(0, outputTokens), Self.limit)
    }

    /// All tokens, each counted once.
    public var total: Int { uncachedInputTokens + outputTokens }

    /// The cost of the tokens in input tokens, an output token counting `outputWeight` times.
    public func cost(outputWeight: Double) -> Double {
        Double(uncachedInputTokens) + outputWeight * Double(outputTokens)
    }
}
