/// Counts of a `PrefixIndex`, for metrics. Those that only grow are since the beginning.
public struct PrefixIndexStatistics: Hashable, Sendable {
    /// Blocks of text in the index now; one that many endpoints hold counts once.
    public var textEntries = 0
    /// Blocks of tokens in the index now, from precise feeds.
    public var tokenEntries = 0
    /// Blocks of prompts that were routed.
    public var routedBlocks = 0
    /// Those of them that the endpoint held already.
    public var hitBlocks = 0
    /// Blocks of an endpoint that were dropped for those of others or because its capacity was used up.
    public var evictedBlocks = 0
    /// Stored blocks of precise endpoints that the index had no room for; they look like misses from then on.
    public var droppedBlocks = 0
    /// Bytes of memory that the index has allocated.
    public var memoryBytes = 0

    /// Creates counts of nothing.
    public init() {}
}
