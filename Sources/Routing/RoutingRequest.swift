/// A request as routing sees it.
public struct RoutingRequest: Sendable {
    /// The scheduler's name for it; what is drawn at random for it depends on nothing else but the seed.
    public var id: UInt64
    /// Its band.
    public var priority: Int
    /// Prompt tokens, cached or not.
    public var promptTokens: Int
    /// Tokens that it is expected to generate.
    public var expectedOutputTokens: Int
    /// The limit on its time to first token in milliseconds, if it names one.
    public var ttftLimitMilliseconds: Double?
    /// The limit on its time per output token in milliseconds, if it names one.
    public var tpotLimitMilliseconds: Double?
    /// The LoRA adapter that it wants, by the name that engines report; nil for the base model.
    public var adapter: String?
    /// What it belongs to: requests of one session should meet their own cache.
    public var session: String?
    /// Request headers that the configured policy reads, by lower-case name.
    public var headers: [String: String]

    /// Creates a request of which nothing is known but its lengths.
    public init(
        id: UInt64, priority: Int = 0, promptTokens: Int, expectedOutputTokens: Int,
        ttftLimitMilliseconds: Double? = nil, tpotLimitMilliseconds: Double? = nil, adapter: String? = nil,
        session: String? = nil, headers: [String: String] = [:]
    ) {
        self.id = id
        self.priority = priority
        self.promptTokens = promptTokens
        self.expectedOutputTokens = expectedOutputTokens
        self.ttftLimitMilliseconds = ttftLimitMilliseconds
        self.tpotLimitMilliseconds = tpotLimitMilliseconds
        self.adapter = adapter
        self.session = session
        self.headers = headers
    }
}
