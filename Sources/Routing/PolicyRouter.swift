public import Basics
public import Pool

/// A `RoutingPolicy` made executable for the endpoints of one pool.
public struct PolicyRouter: Sendable {
    /// What was chosen for one request.
    public struct Choice: Sendable {
        /// The endpoint's place in the table.
        public var endpoint: Int
        /// Scores by scorer and endpoint, if a weighted policy decided and a receipt was asked for.
        public var scores: [Int: [String: Float]]
        fileprivate var decision: WeightedDecision?
    }

    /// The policy.
    public let policy: RoutingPolicy
    /// One of the two is there; apart, so that each is changed in place.
    private var cost: CostRouter?
    private var pipeline: WeightedPipeline?

    /// Makes a policy executable.
    ///
    /// - Parameters:
    ///   - identities: the endpoints, in the order of the tables that picks will read.
    ///   - seed: of everything drawn at random.
    public init(_ policy: RoutingPolicy, identities: [CandidateTable.Identity], seed: UInt64) {
        self.policy = policy
        switch policy {
        case .cost(let configuration): cost = CostRouter(configuration: configuration)
        case .weighted(let policy): pipeline = WeightedPipeline(policy, identities: identities, seed: seed)
        }
    }

    /// Chooses an endpoint; nil if none can take the request now.
    public mutating func pick(
        _ request: RoutingRequest, among table: CandidateTable, wantsScores: Bool = false, now: Instant
    ) -> Choice? {
        if let decision = pipeline?.pick(for: request, among: table, now: now, wantsReceipt: wantsScores) {
            guard let endpoint = decision.endpoint else { return nil }
            return Choice(
                endpoint: endpoint.index, scores: decision.receipt.map(Self.scores) ?? [:], decision: decision)
        }
        return cost?.pick(request, among: table).map { Choice(endpoint: $0, scores: [:]) }
    }

    /// The headers by which an answer from an endpoint tells its client where it was served.
    public func responseHeaders(for endpoint: EndpointID) -> [(name: String, value: String)] {
        pipeline?.responseHeaders(for: endpoint) ?? []
    }

    /// The request goes where it was decided; what the policy remembers of that is noted.
    public mutating func follow(_ choice: Choice, for request: RoutingRequest, now: Instant) {
        guard let decision = choice.decision else { return }
        pipeline?.picked(decision, for: request, endpoint: EndpointID(choice.endpoint), now: now)
    }

    private static func scores(_ receipt: WeightedReceipt) -> [Int: [String: Float]] {
        var scores: [Int: [String: Float]] = [:]
        for candidate in receipt.candidates {
            var row: [String: Float] = [:]
            for (name, score) in zip(receipt.scorers, candidate.scores) { row[name] = Float(score) }
            row["total"] = Float(candidate.total)
            scores[candidate.endpoint.index] = row
        }
        return scores
    }
}
