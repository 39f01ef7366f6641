/// How a candidate policy would have done beside the live one: how often it agrees, and how much dearer its choices are.
///
/// Both are judged by the same cost, in expected milliseconds at the moment of the decision.
public struct ShadowTally: Hashable, Sendable {
    /// Decisions compared.
    public private(set) var decisions = 0
    /// Decisions in which both chose the same endpoint.
    public private(set) var agreements = 0
    /// The sum of what the candidate's choices cost more than the live ones, in milliseconds; negative if they cost less.
    public private(set) var regretMilliseconds = 0.0
    /// Decisions in which the candidate's choice would have been cheaper.
    public private(set) var improvements = 0

    /// Nothing compared yet.
    public init() {}

    /// Counts one decision.
    public mutating func note(live: Int, shadow: Int, liveCost: Float, shadowCost: Float) {
        decisions += 1
        if live == shadow { agreements += 1 }
        let regret = Double(shadowCost) - Double(liveCost)
        guard regret.isFinite else { return }
        regretMilliseconds += regret
        if regret < 0 { improvements += 1 }
    }
}
