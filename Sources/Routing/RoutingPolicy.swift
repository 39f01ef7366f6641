/// How an endpoint is chosen for a real-time request.
public enum RoutingPolicy: Hashable, Sendable {
    /// By expected cost in milliseconds.
    case cost(RoutingCostConfiguration)
    /// By filters and weighted scores, as in llm-d.
    case weighted(WeightedPolicy)

    /// The policy's name in metrics and receipts.
    public var name: String {
        switch self {
        case .cost: "cost"
        case .weighted: "weighted"
        }
    }
}
