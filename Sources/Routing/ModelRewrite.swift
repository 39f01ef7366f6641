import Basics

/// What becomes of requests for one model name: they go to other models, by weight.
///
/// A session stays with one target as long as the weights stand, so that its next turn meets the cache of the last one.
/// When weights change, only as many sessions move as the change asks for: each target draws a number from the session's
/// name, and the largest weighted draw wins (weighted rendezvous hashing; Schindelhauer and Schomaker, 2005).
public struct ModelRewrite: Hashable, Sendable {
    /// One model that requests may go to.
    public struct Target: Hashable, Sendable {
        /// The model that the endpoint is asked for.
        public var model: String
        /// Its share of the traffic, in relation to the others; 0 gets none, unless all have 0: then all get the same.
        public var weight: Double
        /// Only endpoints that carry all these labels get the request.
        public var endpointLabels: [String: String]

        /// Creates a target.
        public init(model: String, weight: Double = 1, endpointLabels: [String: String] = [:]) {
            self.model = model
            self.weight = weight
            self.endpointLabels = endpointLabels
        }
    }

    /// The model that requests name.
    public var model: String
    /// Where they go.
    public var targets: [Target]

    /// Creates a rule.
    public init(model: String, targets: [Target]) {
        self.model = model
        self.targets = targets
    }

    /// The target of a request, nil if there are none.
    ///
    /// - Parameter identity: what the choice is to depend on: a session, or else something of the request's own.
    public func target(for identity: String) -> Target? {
        let isUniform = !targets.contains { $0.weight > 0 }
        var best: (draw: Double, target: Target)?
        for target in targets where isUniform || target.weight > 0 {
            let draw = naturalLogarithm(Self.uniform(identity, target)) / (isUniform ? 1 : target.weight)
            if best.map({ draw > $0.draw }) ?? true { best = (draw, target) }
        }
        return best?.target
    }

    /// A number that only the two names decide, evenly spread over the open unit interval.
    private static func uniform(_ identity: String, _ target: Target) -> Double {
        let labels = target.endpointLabels.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for part in [identity, target.model] + labels {
            for byte in part.utf8 { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01B3 }
            hash = (hash ^ 0xFF) &* 0x0000_0100_0000_01B3
        }
        // FNV-1a mixes its high bits poorly; this finish (SplitMix64, Steele et al., 2014) spreads them.
        hash = (hash ^ (hash >> 30)) &* 0xBF58_476D_1CE4_E5B9
        hash = (hash ^ (hash >> 27)) &* 0x94D0_49BB_1331_11EB
        hash ^= hash >> 31
        return (Double(hash >> 11) + 0.5) * 0x1p-53
    }
}
