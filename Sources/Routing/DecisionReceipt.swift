public import Basics

/// Why a request went where it went, and what came of it.
public struct DecisionReceipt: Hashable, Sendable {
    /// One endpoint that was considered.
    public struct Candidate: Hashable, Sendable {
        /// The endpoint's name.
        public var endpoint: String
        /// Whether it could be given the request at all.
        public var isCandidate: Bool
        /// What it was expected to cost there.
        public var cost: RoutingCost
        /// Prompt tokens that were expected in its cache.
        public var cachedPromptTokens: Int
        /// The expected time to first token, in milliseconds.
        public var predictedTTFTMilliseconds: Float
        /// The expected time per output token, in milliseconds.
        public var predictedTPOTMilliseconds: Float
        /// The scores of a weighted policy by scorer, if one decided.
        public var scores: [String: Float]

        /// Creates an entry.
        public init(
            endpoint: String, isCandidate: Bool, cost: RoutingCost, cachedPromptTokens: Int,
            predictedTTFTMilliseconds: Float, predictedTPOTMilliseconds: Float, scores: [String: Float] = [:]
        ) {
            self.endpoint = endpoint
            self.isCandidate = isCandidate
            self.cost = cost
            self.cachedPromptTokens = cachedPromptTokens
            self.predictedTTFTMilliseconds = predictedTTFTMilliseconds
            self.predictedTPOTMilliseconds = predictedTPOTMilliseconds
            self.scores = scores
        }
    }

    /// What came of it; nil for what is not known.
    public struct Outcome: Hashable, Sendable {
        /// Milliseconds from sending the request to its first token.
        public var ttftMilliseconds: Double?
        /// Milliseconds per token after the first.
        public var tpotMilliseconds: Double?
        /// Prompt tokens that the endpoint had cached, as it says.
        public var cachedPromptTokens: Int?
        /// Tokens generated.
        public var outputTokens: Int?

        /// Nothing is known.
        public init() {}
    }

    /// The policy that decided; `harvest` for sheddable requests, which go where there is most to gain from them.
    public var policy: String
    /// When.
    public var decided: Instant
    /// How long the request had waited by then.
    public var waited: TimeSpan
    /// The endpoints, in table order.
    public var candidates: [Candidate]
    /// The place in `candidates` of the one that got it.
    public var picked: Int
    /// What came of it so far.
    public var outcome = Outcome()

    /// Creates the receipt of a decision.
    public init(policy: String, decided: Instant, waited: TimeSpan, candidates: [Candidate], picked: Int) {
        self.policy = policy
        self.decided = decided
        self.waited = waited
        self.candidates = candidates
        self.picked = picked
    }
}
