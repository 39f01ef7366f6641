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

    /// The request headers that it reads, in lower case.
    public var headersRead: [String] {
        guard case .weighted(let policy) = self else { return [] }
        var names: Set<String> = []
        func note(_ affinity: WeightedSessionAffinity) {
            switch affinity {
            case .endpointToken(let header): names.insert(header.lowercased())
            case .sessionID(let sources, _):
                for case .header(let header) in sources { names.insert(header.lowercased()) }
            }
        }
        for filter in policy.filters {
            if case .sessionAffinity(let affinity) = filter.rule { note(affinity) }
        }
        for scorer in policy.scorers {
            switch scorer.rule {
            case .sessionAffinity(let affinity): note(affinity)
            case .headerLabelAffinity(let header, _): names.insert(header.lowercased())
            default: break
            }
        }
        return names.sorted()
    }

    /// The attributes of endpoints that it reads (``CandidateTable/attributeNames``).
    public var attributesRead: [String] {
        guard case .weighted(let policy) = self else { return [] }
        var names: Set<String> = []
        for filter in policy.filters {
            if case .endpointAttribute(let threshold) = filter.rule { names.insert(threshold.attribute) }
        }
        for scorer in policy.scorers {
            if case .endpointAttribute(let scale) = scorer.rule { names.insert(scale.attribute) }
        }
        return names.sorted()
    }
}
