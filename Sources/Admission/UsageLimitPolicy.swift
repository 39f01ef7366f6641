/// From which saturation on bands have to wait: the ceiling of each.
///
/// Formulas and defaults: shared reference `scheduling.md` 3.3. Bands are meant as they are ranked: `i` counts from 0
/// for the highest to `N - 1` for the lowest.
public enum UsageLimitPolicy: Hashable, Sendable {
    /// What priority holdback goes by.
    public enum HoldbackDomain: String, Hashable, Sendable, CaseIterable {
        /// The rank of a band.
        case rank
        /// The distance of priorities.
        case value
    }

    /// One ceiling for all bands (`static-usage-limit-policy`, whose threshold is 1).
    case fixed(ceiling: Double)
    /// Lower bands have lower ceilings, so that some room is held back for higher ones (`priority-holdback-policy`):
    /// `max - i·(max - min)/(N - 1)` by rank, `min + r·(max - min)` with `r = (p - lowest)/(highest - lowest)` by
    /// value.
    case priorityHoldback(domain: HoldbackDomain, minimum: Double, maximum: Double = 1)
    /// Ceilings come down as the pool fills: `1 - i·saturation/(N - 1)`. A band that has to wait is still let through
    /// once in `round(saturation/(1 - saturation))` times (`soft-reflective-ceiling-policy`).
    case softReflective

    /// The ceilings of bands, given by their priorities from the highest down.
    public func ceilings(priorities: [Int], saturation: Double) -> [Double] {
        let steps = Double(max(1, priorities.count - 1))
        let highest = Double(priorities.first ?? 0)
        let range = highest - Double(priorities.last ?? 0)
        return priorities.enumerated().map { rank, priority in
            switch self {
            case .fixed(let ceiling): return ceiling
            case .priorityHoldback(.rank, let minimum, let maximum):
                return maximum - Double(rank) * (maximum - minimum) / steps
            case .priorityHoldback(.value, let minimum, let maximum):
                let normalised = range > 0 ? 1 - (highest - Double(priority)) / range : 1
                return minimum + normalised * (maximum - minimum)
            case .softReflective: return 1 - Double(rank) * saturation / steps
            }
        }
    }

    /// What is wrong with the settings, a sentence each.
    var problems: [String] {
        switch self {
        case .fixed(let ceiling):
            return ceiling > 0 ? [] : ["The usage ceiling must be more than zero, not \(ceiling)."]
        case .priorityHoldback(_, let minimum, let maximum):
            guard minimum > 0, minimum <= maximum else {
                return ["The lowest usage ceiling must be more than zero and at most the highest (\(maximum))."]
            }
            return []
        case .softReflective: return []
        }
    }
}

/// Applies a usage limit: walks the bands from the top and stops at the first that has to wait.
public struct UsageGate: Sendable {
    private let policy: UsageLimitPolicy
    /// How often the band of each rank has been asked while it had to wait.
    private var refusals: [Int] = []

    /// Creates a gate.
    public init(_ policy: UsageLimitPolicy) { self.policy = policy }

    /// The lowest priority that may be dispatched now; nil if none may. Bands are given from the highest priority down.
    public mutating func floor(priorities: [Int], saturation: Double) -> Int? {
        var floor: Int?
        for (rank, ceiling) in policy.ceilings(priorities: priorities, saturation: saturation).enumerated() {
            guard saturation < ceiling || isLetThrough(rank, saturation) else { break }
            floor = priorities[rank]
        }
        return floor
    }

    private mutating func isLetThrough(_ rank: Int, _ saturation: Double) -> Bool {
        guard case .softReflective = policy, saturation < 1 else { return false }
        while refusals.count <= rank { refusals.append(0) }
        refusals[rank] += 1
        let period = max(1, Int(min((saturation / (1 - saturation)).rounded(), 1e9)))
        guard refusals[rank] >= period else { return false }
        refusals[rank] = 0
        return true
    }
}
