/// Where an engine keeps a block.
public enum CacheTier: Hashable, Sendable {
    /// In the accelerator's memory: a hit costs nothing.
    case gpu
    /// In the host's memory: a hit costs a copy.
    case cpu
}

/// One change to the prefix cache of an engine, as far as it matters to routing.
public enum KVEvent: Hashable, Sendable {
    /// Blocks are there now.
    case stored(StoredBlocks)
    /// Blocks are gone from one tier.
    case removed(RemovedBlocks)
    /// Everything is gone.
    case cleared
    /// Blocks of a group whose residency says nothing of a prefix (sliding window, Mamba), told with the group's number.
    case foreignGroup(Int?)
}

/// A run of blocks that an engine has stored, each the parent of the next.
public struct StoredBlocks: Hashable, Sendable {
    /// The engine's names for the blocks: opaque, of digests the last 8 bytes.
    public var hashes: [UInt64]
    /// The block in front of the first; nil at the start of a prompt.
    public var parent: UInt64?
    /// The token ids of all blocks. Empty where the engine tells of blocks that it has named before (other tiers).
    public var tokens: [UInt32]
    /// Tokens per block.
    public var blockSize: Int
    /// The LoRA adapter's name; where only its number is told, a name made of that, which no request has.
    public var adapter: String?
    /// Where they are.
    public var tier: CacheTier
    /// What else tells the content of each block, the adapter's name left out. Empty, or one entry per block.
    public var extras: [[[UInt8]]]
    /// The KV cache group; nil where the engine has only one.
    public var group: Int?

    /// Creates a run of blocks.
    public init(
        hashes: [UInt64], parent: UInt64?, tokens: [UInt32], blockSize: Int, adapter: String? = nil,
        tier: CacheTier = .gpu, extras: [[[UInt8]]] = [], group: Int? = nil
    ) {
        self.hashes = hashes
        self.parent = parent
        self.tokens = tokens
        self.blockSize = blockSize
        self.adapter = adapter
        self.tier = tier
        self.extras = extras
        self.group = group
    }
}

/// Blocks that an engine has given up.
public struct RemovedBlocks: Hashable, Sendable {
    /// The engine's names for the blocks.
    public var hashes: [UInt64]
    /// Where they were.
    public var tier: CacheTier
    /// The KV cache group; nil where the engine has only one, or does not say.
    public var group: Int?

    /// Creates a list of blocks.
    public init(hashes: [UInt64], tier: CacheTier = .gpu, group: Int? = nil) {
        self.hashes = hashes
        self.tier = tier
        self.group = group
    }
}

/// What an engine publishes at once: the events of one of its steps.
public struct KVEventBatch: Hashable, Sendable {
    /// When the engine made it, in seconds since the Unix epoch by the engine's clock.
    public var timestampSeconds: Double
    /// In the order in which they happened.
    public var events: [KVEvent]
    /// Which of the engine's data-parallel ranks it is about.
    public var dataParallelRank: Int?
    /// Events that say nothing to us: of tiers that are not the engine's own (disk, a remote store), or of kinds newer than
    /// this program. Only counted, so that a batch takes no more memory than its payload justifies.
    public var irrelevantEvents = 0
    /// Events that could not be read.
    public var malformedEvents = 0

    /// Creates a batch.
    public init(timestampSeconds: Double, events: [KVEvent], dataParallelRank: Int? = nil) {
        self.timestampSeconds = timestampSeconds
        self.events = events
        self.dataParallelRank = dataParallelRank
    }
}
