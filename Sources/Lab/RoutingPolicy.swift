/// How real-time requests are spread over the replicas by a router that sends each one on at once.
public enum RoutingPolicy: String, Hashable, Sendable, CaseIterable {
    /// One after the other.
    case roundRobin = "round-robin"
    /// To the replica with the fewest requests of this router in flight. Every engine serves first come, first served.
    case leastRequests = "least-requests"
    /// By the throw of a die.
    case random
    /// llm-d's older weighted blend: prefix-cache 3, queue 2, kv-cache-utilization 2, no-hit-lru 2
    /// (`scheduling.md` 1.2).
    case llmd3222 = "llm-d-3222"
    /// llm-d without any configuration: prefix-cache 3, queue 2, kv-cache-utilization 2 (`gaie-protocol.md`, defaults).
    case llmd322 = "llm-d-322"
    /// llm-d's recommended, token-aware configuration: prefix-cache-affinity-filter, token-load-scorer,
    /// max-score-picker, with their defaults (`scheduling.md` 1.2, 7.2).
    case llmdAffinity = "llm-d-affinity"

    /// Reads a name; `llm-d-default` is another one for `llm-d-322`.
    init?(named name: String) {
        if name == "llm-d-default" { self = .llmd322 } else { self.init(rawValue: name) }
    }

    /// Whether it is a configuration of llm-d's endpoint picker.
    var isLLMD: Bool {
        switch self {
        case .llmd3222, .llmd322, .llmdAffinity: true
        case .roundRobin, .leastRequests, .random: false
        }
    }
}
