public import Basics

/// How a subscription to KV events behaves.
public struct KVEventSettings: Hashable, Sendable {
    /// Bounds on what a peer can make us hold.
    public var wireLimits = ZMTPDecoder.Limits()
    /// Bounds on what is known of its cache.
    public var residencyLimits = KVResidency.Limits()
    /// How long a connection and its handshake may take.
    public var connectTimeout = TimeSpan.seconds(5)
    /// After this much silence a peer is asked for a sign of life; after three times as much it is given up.
    public var heartbeat = TimeSpan.seconds(10)
    /// The first pause before connecting anew; doubled after each failure, and jittered.
    public var firstPause = TimeSpan.milliseconds(100)
    /// The longest pause before connecting anew.
    public var maximumPause = TimeSpan.seconds(10)
    /// How long a replay may be silent. Engines look at their replay socket between batches, ten times a second when idle.
    public var replayIdleTimeout = TimeSpan.seconds(2)
    /// How long a replay may take in all.
    public var replayTimeout = TimeSpan.seconds(120)
    /// The pauses before further attempts when a replay brings nothing. After the last one it is given up, until the next
    /// hole or the next connection.
    public var replayRetryPauses: [TimeSpan] = [.milliseconds(100), .seconds(1), .seconds(5)]

    /// The defaults.
    public init() {}
}
