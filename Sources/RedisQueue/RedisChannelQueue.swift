public import Basics
public import Delivery
public import MessageQueues
public import RedisClient
import Synchronization

/// Messages from a channel (`SUBSCRIBE`), as llm-d-async's transport `redis-pubsub` has them (shared reference
/// `async-processor.md` 2.5): an ephemeral queue, for work that may be lost.
///
/// What is published while nobody listens is lost, and so is what lies in this process, waiting or under lease, when it dies.
/// Every replica gets every message: run one. What is to be kept belongs into a `RedisSortedSetQueue`.
///
/// - Messages wait in memory, bounded in number and bytes; what comes beyond is refused and counted (`statistics`).
/// - A message that is to be tried again later waits in the retry set, where it survives; it is brought back when its time
///   has come and there is room, and entries of other queues are never touched. `close()` puts there what waits.
/// - Results are published to one channel; there too, nobody hears what is said while nobody listens.
/// - Requests cannot be cancelled, as with llm-d-async.
public final class RedisChannelQueue: Sendable {
    /// One channel and how this process works on it. Names and defaults are llm-d-async's.
    public struct Configuration: Sendable {
        /// The channel on which messages come.
        public var channel: String
        /// The queue's name in results that are made here, for messages that cannot be run; nil takes `channel`.
        public var name: String?
        /// The channel on which results go out.
        public var resultChannel = "result-queue"
        /// The sorted set in which messages of all queues wait for their next attempt.
        public var retryQueueName = "retry-sortedset"
        /// The path for messages without `endpoint`.
        public var requestPath = "/v1/completions"
        /// Labels for each message; they count for more than those in the message.
        public var labels: [String: String] = [:]
        /// So many messages are held, waiting and under lease together.
        public var maximumMessages = 8_192
        /// The same in bytes, as the messages arrived.
        public var maximumBytes = 128 << 20
        /// A message may be this large, in bytes. Has to be well below what the client takes as a reply.
        public var maximumMessageBytes = 16 << 20
        /// The source of the time. Retry times go by the server's clock, whatever this one says.
        public var clock: any DeliveryClock = SystemClock()
        /// Told of failures of the queue's own housekeeping, for the log: of one that lasts once, and once of its end
        /// (`RedisQueueRecovery`); also if the server cannot be reached in the first place.
        public var reportsError: @Sendable (any Error) -> Void = { _ in }

        /// The defaults for a channel.
        public init(channel: String = "request-queue") { self.channel = channel }
    }

    /// What has happened on the channel since the queue began.
    public struct Statistics: Hashable, Sendable {
        /// Messages that arrived.
        public var received = 0
        /// Messages that were thrown away because there was no room, or because they were too large.
        public var refused = 0
        /// Messages that could not be read; those with an id were answered.
        public var unreadable = 0
        /// Times that the connection broke; messages may have been missed each time.
        public var interruptions = 0
        /// Results that were published while nobody listened.
        public var unheardResults = 0
    }

    private let core: ChannelCore
    private let housekeeping: Mutex<Task<Void, Never>?>

    /// Begins to listen. The client stays the caller's, and has to be closed after the queue.
    public init(client: RedisClient, configuration: Configuration) {
        let core = ChannelCore(client: client, configuration: configuration)
        self.core = core
        core.listen()
        housekeeping = Mutex(Task { await core.keepHouse() })
    }

    deinit {
        housekeeping.withLock { $0 }?.cancel()
        let core = core
        Task { await core.stopListening() }
    }

    /// What has happened so far.
    public var statistics: Statistics { core.statistics }

    /// Whether messages arrive: `.active` while the channel is subscribed.
    public var status: RedisPushStatus { core.subscriptionStatus }

    /// Stops listening, and puts what waits into the retry set, for ten seconds at most and unless that fails: then it is
    /// lost. What has been handed out can still be completed and
    /// released.
    public func close() async {
        await core.stopListening()
        core.stopLeasing()
        let task = housekeeping.withLock { task in
            defer { task = nil }
            return task
        }
        task?.cancel()
        await task?.value
        await core.finishGivingBack()
    }
}

extension RedisChannelQueue: MessageQueue {
    /// Takes messages from those in memory, as `MessageQueue` says: by priority, then by deadline.
    public func lease(
        limit: Int, duration: TimeSpan, excluding targets: Set<String>
    ) async throws -> [LeasedMessage] {
        core.lease(limit: limit, duration: duration, excluding: targets)
    }

    /// Takes messages whose deadline lies before `instant`, as `MessageQueue` says.
    public func leaseOverdue(
        before instant: Instant, limit: Int, duration: TimeSpan
    ) async throws -> [LeasedMessage] {
        core.leaseOverdue(before: instant, limit: limit, duration: duration)
    }

    /// Extends leases, as `MessageQueue` says.
    public func extend(_ leases: [Lease], duration: TimeSpan) async throws -> [Lease] {
        core.extend(leases, duration: duration)
    }

    /// Gives a message back, as `MessageQueue` says: to memory if its time has come, or else to the retry set.
    public func release(_ lease: Lease, attempts: AttemptRecord, readyAt: Instant) async throws -> Bool {
        try await core.release(lease, attempts: attempts, readyAt: readyAt)
    }

    /// Publishes the result of a message and forgets the message. If the server cannot be reached, the message stays under
    /// its lease.
    public func complete(_ lease: Lease, with result: InferenceResult) async throws -> Bool {
        try await core.complete(lease, with: result)
    }

    /// Suspends until a message may be ready, as `MessageQueue` says.
    public func waitUntilReady(excluding targets: Set<String>) async throws {
        await core.waitUntilReady(excluding: targets)
    }

    /// Suspends until the task is cancelled: there are no cancellations here.
    public func nextCancellations() async throws -> [Lease] {
        await ChangeSignal().wait(past: 0)
        return []
    }

    /// Puts what waits into the retry set at once; nothing is handed out after that, and what is released goes there too.
    public func stopLeasing() { core.stopLeasing() }

    /// How full the memory is. `delayed` counts the retry set, which other queues may share.
    public func depth() async throws -> QueueDepth {
        let held = core.depth
        var depth = QueueDepth()
        depth.ready = held.ready
        depth.leased = held.leased
        depth.earliestDeadline = held.earliestDeadline
        depth.delayed = try await core.delayed()
        return depth
    }
}
