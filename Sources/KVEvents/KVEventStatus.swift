public import Basics

/// How a subscription to KV events is doing.
public struct KVEventStatus: Hashable, Sendable {
    /// The state of its connection.
    public enum Connection: Hashable, Sendable {
        /// Not there, and on its way; why it was lost or did not come about, if it ever did either.
        case connecting(reason: String?)
        /// Open, with a replay under way: what is known may be old.
        case replaying
        /// Open, and what is known is as new as the last event.
        case following
        /// Closed by us.
        case closed
    }

    /// The state of its connection.
    public var connection = Connection.connecting(reason: nil)
    /// What has been seen.
    public var counters = KVEventFeed.Counters()
    /// Times that a connection came about.
    public var connections = 0
    /// Blocks known to be in the endpoint's cache, in whatever tier.
    public var residentBlocks = 0
    /// Tokens per block; requests' chains must be made with the same number. Nil before the engine's first block.
    public var blockSize: Int?
    /// The LoRA adapters that blocks were told of: chains of requests for them begin with their names.
    public var adapters: Set<String> = []
    /// How long the last batch was under way, by our clock and the engine's; nil before the first. Clocks may differ.
    public var lag: TimeSpan?

    /// A subscription that has just begun.
    public init() {}
}
