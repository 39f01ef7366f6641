/// The lane of a request: classification first, then tier (shared reference `async-processor.md` 4.5).
///
/// `lane = 3 * (reserved ? 0 : 1) + (interactive 0, async 1, batch 2)`; an unknown tier is batch, and what nobody
/// classified is overflow. Lane 0 goes first.
public struct PriorityLane: Hashable, Comparable, Sendable {
    /// The label that holds the classification.
    public static let classificationLabel = "classification"
    /// The classification of a request within its quota.
    public static let reserved = "reserved"
    /// The classification of a request beyond its quota.
    public static let overflow = "overflow"
    /// How many lanes there are.
    public static let count = 6
    private static let tiers = ["interactive", "async", "batch"]

    /// 0 goes first, 5 last.
    public let rank: Int

    /// The lane of these labels.
    public init(labels: [String: String], tierLabel: String = "tier") {
        let tier = labels[tierLabel].flatMap { Self.tiers.firstIndex(of: $0) } ?? Self.tiers.count - 1
        rank = (labels[Self.classificationLabel] == Self.reserved ? 0 : Self.tiers.count) + tier
    }

    init(rank: Int) { self.rank = rank }

    /// Whether the request is within its quota.
    public var isReserved: Bool { rank < Self.tiers.count }

    /// A name for metrics: `reserved-interactive` ... `overflow-batch`.
    public var name: String {
        (isReserved ? Self.reserved : Self.overflow) + "-" + Self.tiers[rank % Self.tiers.count]
    }

    /// The one that goes first comes first.
    public static func < (left: PriorityLane, right: PriorityLane) -> Bool { left.rank < right.rank }
}
