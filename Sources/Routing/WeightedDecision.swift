public import Pool

/// What a weighted pipeline decided for one request.
public struct WeightedDecision: Sendable {
    /// How it ended.
    public enum Outcome: Hashable, Sendable {
        /// An endpoint was picked.
        case picked
        /// There was no candidate to begin with.
        case noCandidates
        /// The named filter kept nothing, for what the endpoints are: labels, roles, lengths. Waiting does not help.
        case noEligibleEndpoint(filter: String)
        /// The named filter kept nothing, for what the endpoints are busy with.
        case saturated(filter: String)
    }

    /// How it ended.
    public var outcome: Outcome
    /// The endpoint to try first; nil if there is none.
    public var endpoint: EndpointID?
    /// The endpoints to try after it, in order; empty unless the picker names several.
    public var fallbacks: [EndpointID] = []
    /// How the candidates compared, if that was asked for.
    public var receipt: WeightedReceipt?

    /// Whether no candidate had a block of the prompt cached; decides whether `no-hit-lru-scorer` remembers the pick.
    var isCold = false
    /// One bit per session step: the session is bound, and its endpoint was not among that step's candidates.
    var boundEndpointIsAbsent: UInt64 = 0

    init(_ outcome: Outcome) { self.outcome = outcome }
}

/// How the candidates of one decision compared.
public struct WeightedReceipt: Hashable, Sendable {
    /// What one filter did.
    public struct Filtering: Hashable, Sendable {
        /// The filter's name.
        public var filter: String
        /// How many candidates it kept.
        public var kept: Int
    }

    /// One candidate that passed the filters.
    public struct Candidate: Hashable, Sendable {
        /// The endpoint.
        public var endpoint: EndpointID
        /// Its score from each scorer, clamped to 0...1, in the order of ``WeightedReceipt/scorers``.
        public var scores: [Double]
        /// The weighted sum of the scores.
        public var total: Double
    }

    /// Candidates before the filters.
    public var considered = 0
    /// What the filters did, in order; ends at the one that kept nothing.
    public var filterings: [Filtering] = []
    /// The scorers' names.
    public var scorers: [String] = []
    /// Their weights.
    public var weights: [Double] = []
    /// The candidates that were scored, by index.
    public var candidates: [Candidate] = []
}
