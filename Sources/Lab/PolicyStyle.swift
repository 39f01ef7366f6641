import ReportPage

extension PageStyle {
    /// The class of the `index`th policy of a report. Kinds have their own hues, chosen to stay apart for colour-blind
    /// readers; several policies of a kind differ by their dashes.
    static func classes(for policies: [Policy]) -> [String] {
        var seen: [String: Int] = [:]
        return policies.map { policy in
            let kind = kind(of: policy)
            let count = seen[kind, default: 0]
            seen[kind] = count + 1
            return "p-\(kind) d\(count % 4)"
        }
    }

    private static func kind(of policy: Policy) -> String {
        switch policy {
        case .onlineOnly: "online"
        case .direct: "direct"
        case .ungated: "ungated"
        case .enginePriority: "priority"
        case .liveCap: "cap"
        case .budgetGate, .gate: "budget"
        case .routed(let routing): routing.isLLMD ? "budget" : "cap"
        case .weir: "weir"
        case .oracle: "oracle"
        }
    }
}
