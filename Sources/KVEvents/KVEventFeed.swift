public import Basics

/// One publisher's messages in, changes of its endpoint's residency out: `KVEventSequencer` and `KVResidency` put together.
/// Pure; `KVEventSubscriber` moves the bytes.
public struct KVEventFeed: Sendable {
    /// What follows from what came.
    public struct Output: Hashable, Sendable {
        /// What an index has to change, in order.
        public var changes: [ResidencyChange] = []
        /// Set if a replay is to be asked for. It takes the place of one that is under way.
        public var replay: ReplayRequest?

        /// Nothing.
        public init() {}
    }

    /// A replay to be asked for.
    public struct ReplayRequest: Hashable, Sendable {
        /// The first batch wanted.
        public var sequence: UInt64
        /// How long to wait before.
        public var pause: TimeSpan
        /// The parts to be sent from a DEALER socket.
        public var parts: [[UInt8]] { KVEventMessage.replayRequest(from: sequence) }
    }

    /// What has been seen of messages. All only grow.
    public struct Counters: Hashable, Sendable {
        /// Messages that are none of a KV event publisher, and payloads that are no batch.
        public var malformedMessages = 0
        /// Their numbering.
        public var sequence = SequenceCounters()
        /// Their content.
        public var residency = ResidencyCounters()

        /// Nothing yet.
        public init() {}
    }

    private var sequencer: KVEventSequencer
    private var residency: KVResidency
    private var malformedMessages = 0
    private var actions: [KVEventSequencer.Action] = []
    /// When the engine made the last batch that came through the subscription, in seconds since the Unix epoch.
    public private(set) var lastTimestampSeconds: Double?

    /// - Parameters:
    ///   - model: the root of the chains of prompts that name no adapter.
    ///   - hasReplay: whether the publisher can be asked for what was missed.
    ///   - settings: bounds, and the pauses between replays.
    public init(model: String, hasReplay: Bool, settings: KVEventSettings = KVEventSettings()) {
        sequencer = KVEventSequencer(
            KVEventSequencer.Settings(hasReplay: hasReplay, retryPauses: settings.replayRetryPauses))
        residency = KVResidency(model: model, limits: settings.residencyLimits)
    }

    /// What has been seen so far.
    public var counters: Counters {
        var counters = Counters()
        counters.malformedMessages = malformedMessages
        counters.sequence = sequencer.counters
        counters.residency = residency.counters
        return counters
    }

    /// Blocks known to be there, in whatever tier.
    public var residentBlocks: Int { residency.residentBlocks }
    /// Tokens per block, as the engine tells; nil before its first block.
    public var blockSize: Int? { residency.blockSize }
    /// The LoRA adapters that it has told of.
    public var adapters: Set<String> { residency.adapters }
    /// Whether no replay is under way, so that what is known is as new as can be.
    public var isFollowing: Bool { sequencer.isFollowing }

    /// The subscription is open.
    public mutating func connected(into output: inout Output) {
        sequencer.connected(into: &actions)
        perform(into: &output)
    }

    /// The subscription is lost, and with it a replay that is under way.
    public mutating func disconnected() { sequencer.disconnected() }

    /// The subscription brought a message.
    public mutating func received(live parts: [[UInt8]], into output: inout Output) {
        guard case .batch(let sequence, let payload) = KVEventMessage.live(parts) else {
            malformedMessages += 1
            return
        }
        sequencer.live(sequence, payload, into: &actions)
        perform(into: &output)
    }

    /// The replay socket answered. False once the replay is over.
    @discardableResult
    public mutating func received(replayed parts: [[UInt8]], into output: inout Output) -> Bool {
        var goesOn = false
        switch KVEventMessage.replayed(parts) {
        case nil:
            malformedMessages += 1
            goesOn = true
        case .batch(let sequence, let payload):
            sequencer.replayed(sequence, payload, into: &actions)
            goesOn = true
        case .endOfReplay: sequencer.replayEnded(into: &actions)
        }
        perform(into: &output)
        return goesOn
    }

    /// The replay broke off: no connection, or silence before its end.
    public mutating func replayFailed(into output: inout Output) {
        sequencer.replayFailed(into: &actions)
        perform(into: &output)
    }

    private mutating func perform(into output: inout Output) {
        for action in actions {
            switch action {
            case .apply(let payload, let isLive):
                do {
                    let batch = try KVEventBatch(messagePack: payload)
                    if isLive { lastTimestampSeconds = batch.timestampSeconds }
                    residency.apply(batch, into: &output.changes)
                } catch {
                    // Nobody knows what it has changed.
                    malformedMessages += 1
                    residency.forget(into: &output.changes)
                }
            case .forget: residency.forget(into: &output.changes)
            case .requestReplay(let sequence, let pause):
                output.replay = ReplayRequest(sequence: sequence, pause: pause)
            }
        }
        actions.removeAll(keepingCapacity: true)
    }
}
