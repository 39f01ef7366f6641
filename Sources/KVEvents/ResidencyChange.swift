/// What an index of prefix blocks has to change for one endpoint. Keys are those of `TokenChain`.
///
/// A key is stored once and removed once per tier, however often the engine tells of it.
public enum ResidencyChange: Hashable, Sendable {
    /// The endpoint has the block in this tier now.
    case store(UInt64, CacheTier)
    /// The endpoint no longer has the block in this tier.
    case remove(UInt64, CacheTier)
    /// The endpoint has nothing, or nothing is known of what it has.
    case clear
}

/// What has been seen of one endpoint's events since the beginning. All only grow.
public struct ResidencyCounters: Hashable, Sendable {
    /// Blocks told as stored, repetitions included.
    public var storedBlocks = 0
    /// Blocks told as removed, repetitions included.
    public var removedBlocks = 0
    /// Blocks whose parent was unknown when they were stored.
    public var orphanedBlocks = 0
    /// Orphans whose parent turned up later.
    public var adoptedBlocks = 0
    /// Blocks left out because of a bound on memory.
    public var droppedBlocks = 0
    /// Blocks told without tokens that had not been told with them before, and removals of unknown blocks.
    public var unresolvedBlocks = 0
    /// Blocks of less than the endpoint's block size.
    public var partialBlocks = 0
    /// Events of cache groups that say nothing of prefixes, and events of tiers and kinds that are not looked at.
    public var ignoredEvents = 0
    /// Events that could not be read.
    public var malformedEvents = 0
    /// Times that everything was forgotten: told by the engine, or because the block size changed, or by `forget`.
    public var clears = 0

    /// Nothing yet.
    public init() {}
}
