public import Basics
public import Delivery
public import MessageQueues
public import RedisClient
import Synchronization

/// A queue in Redis or Valkey: the sorted set, claims, retry set and result lists of llm-d-async (shared reference
/// `async-processor.md` 2.4), so that its producers, consumers and processors can work on the same queue at the same time.
///
/// - Nothing is taken without a claim: a message is in exactly one of the waiting set, the claims, the retry set and the
///   dead letters, and every move from one to another is one script. A process that dies loses nothing; its claims come
///   back when their leases run out, by any replica, llm-d-async's included.
/// - Any number of replicas may work on a queue. A claim has an owner's token; whoever has lost it changes nothing.
/// - Commands are for batches: one to take messages, one to extend leases, one to end all that ends at a time.
/// - New messages, cancellations and retries are heard of at once (`CLIENT TRACKING`); servers that cannot tell are asked
///   every `poll`.
/// - Order: earliest score first, that is by deadline and then by submission. `InferenceMessage.priority` counts among the
///   messages that one call takes.
/// - Durability is the server's: what must survive its death needs `appendonly yes`.
public final class RedisSortedSetQueue: Sendable {
    let core: QueueCore
    private let housekeeping: Mutex<Task<Void, Never>?>
    private let givingBack = Mutex<Task<Void, Never>?>(nil)

    /// Begins to work on a queue. The client stays the caller's, and has to be closed after the queue.
    public init(client: RedisClient, configuration: Configuration) {
        let core = QueueCore(client: client, configuration: configuration)
        self.core = core
        core.startWatching()
        housekeeping = Mutex(Task { await core.keepHouse() })
    }

    deinit {
        housekeeping.withLock { $0 }?.cancel()
        let core = core
        Task { await core.stopWatching() }
    }

    /// Stops the housekeeping and gives back what has been taken and not been handed out. What has been handed out can still
    /// be completed and released.
    public func close() async {
        stopLeasing()
        let task = housekeeping.withLock { task in
            defer { task = nil }
            return task
        }
        task?.cancel()
        await task?.value
        await core.stopWatching()
        await givingBack.withLock { $0 }?.value
    }
}

extension RedisSortedSetQueue: MessageQueue {
    /// Takes messages, as `MessageQueue` says, in one script call where no targets are excluded.
    ///
    /// Messages of excluded targets stay in the queue, where the server can tell their target; the others are held back here
    /// (`Configuration.maximumStock`). One call looks at 1000 waiting messages; the next goes on behind them.
    public func lease(
        limit: Int, duration: TimeSpan, excluding targets: Set<String>
    ) async throws -> [LeasedMessage] {
        guard limit > 0 else { return [] }
        let core = core
        // Not in the calling task: what has been claimed has to come out even if that is cancelled.
        return try await Task { try await core.lease(limit: limit, duration: duration, excluding: targets) }.value
    }

    /// Takes messages whose deadline, by score, lies before `instant`, as `MessageQueue` says.
    public func leaseOverdue(
        before instant: Instant, limit: Int, duration: TimeSpan
    ) async throws -> [LeasedMessage] {
        guard limit > 0 else { return [] }
        let core = core
        return try await Task {
            try await core.leaseOverdue(before: instant, limit: limit, duration: duration)
        }.value
    }

    /// Extends leases, as `MessageQueue` says, all of them in one call.
    public func extend(_ leases: [Lease], duration: TimeSpan) async throws -> [Lease] {
        try await core.extend(leases, duration: duration)
    }

    /// Gives a message back, as `MessageQueue` says: to the queue if its time has come, or else to the retry set.
    public func release(_ lease: Lease, attempts: AttemptRecord, readyAt: Instant) async throws -> Bool {
        guard let claim = core.table.withLock({ $0[lease] }) else { return false }
        let delay = readyAt - core.configuration.clock.now()
        return try await core.giveBack(lease, claim, attempts: attempts, after: delay)
    }

    /// Pushes the result of a message and removes the message, as `MessageQueue` says. A dead letter's message is kept.
    public func complete(_ lease: Lease, with result: InferenceResult) async throws -> Bool {
        guard let claim = core.table.withLock({ $0[lease] }) else { return false }
        return try await core.settle(lease, claim, .result(core.parts(of: result, claim)))
    }

    /// Suspends until a message may be ready, as `MessageQueue` says.
    public func waitUntilReady(excluding targets: Set<String>) async throws {
        try await core.waitUntilReady(excluding: targets)
    }

    /// Suspends until leased messages are to be cancelled, as `MessageQueue` says.
    public func nextCancellations() async throws -> [Lease] { try await core.nextCancellations() }

    /// Gives back at once what has been taken and not been handed out; nothing is handed out after that.
    public func stopLeasing() {
        let core = core
        core.table.withLock { $0.stop() }
        givingBack.withLock { task in
            if task == nil { task = Task { await core.giveBackStock() } }
        }
    }

    /// How full the queue is. `delayed` counts the retry set, which other queues may share; `results` the queue's own result
    /// list, or else that of the transport.
    public func depth() async throws -> QueueDepth { try await core.depth() }
}
