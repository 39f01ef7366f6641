public import Basics
public import Delivery
import GRDB
public import MessageQueues
import Synchronization

/// A durable queue in one SQLite file (WAL mode), in this process and shared with others.
///
/// - Durability: what has been accepted or completed survives the death of the process. With `flushesForPowerLoss`, the
///   default, it survives the loss of power too: each group commit then waits for the disk. Without it the last moments
///   before a power failure may be forgotten, though the file stays sound.
/// - Speed: concurrent calls share transactions (`GroupCommit`).
/// - Processes: any number may open one file. One at a time may be its consumer, the one that leases messages; when it
///   dies, the next consumer has its messages at once. What other processes enqueue is noticed within `foreignPoll`, by
///   a look at SQLite's change counter while idle; what this process enqueues is noticed at once.
/// - The file must lie on a local disk: SQLite's WAL shares memory between its users.
public final class EmbeddedQueue: MessageQueue {
    /// What this opening of the file is for.
    public enum Role: Hashable, Sendable {
        /// Enqueue, read results, look around.
        case client
        /// Lease and complete messages as well; one at a time for each file.
        case consumer
    }

    /// How a file is opened.
    public struct Configuration: Sendable {
        /// The database file.
        public var path: String
        /// Whether a missing file is created.
        public var createsFile = true
        /// Whether accepted messages and results survive the loss of power.
        public var flushesForPowerLoss = true
        /// A payload may be this large, in bytes.
        public var maximumPayloadBytes = 64 << 20
        /// Nothing is enqueued that would let the file use more than this, in bytes.
        public var maximumFileBytes = 64 << 30
        /// One lease call stops taking messages when their payloads exceed this together, in bytes.
        public var maximumLeaseBytes = 64 << 20
        /// How long to wait for another process that is writing.
        public var busyTimeout = TimeSpan.seconds(10)
        /// How soon the writes of other processes are noticed.
        public var foreignPoll = TimeSpan.milliseconds(50)
        /// The source of the time.
        public var clock: any DeliveryClock = SystemClock()

        /// The defaults for a file.
        public init(path: String) { self.path = path }
    }

    private let configuration: Configuration
    private let role: Role
    private let pool: DatabasePool
    private let writer: GroupCommit
    /// Held from the opening to the closing of a consumer.
    private let lock: Mutex<ConsumerLock?>
    private let readiness = ChangeSignal()
    private let completions = ChangeSignal()

    /// Opens the file; as the consumer it also takes back what a dead consumer held.
    public init(_ configuration: Configuration, role: Role) throws(MessageQueueError) {
        self.configuration = configuration
        self.role = role
        let path = configuration.path
        pool = try QueueFile.open(path, creates: configuration.createsFile, busyTimeout: configuration.busyTimeout)
        lock = Mutex(role == .consumer ? try ConsumerLock(queuePath: path) : nil)
        writer = GroupCommit(
            pool: pool, place: path, flushesForPowerLoss: configuration.flushesForPowerLoss)
        if role == .consumer {
            do {
                try pool.writeWithoutTransaction { database in try MessageStore.endAllLeases(database) }
            } catch {
                throw MessageQueueError(error, place: path)
            }
        }
    }

    /// Stores messages, as `MessageQueue` says. Other processes may do so at the same time.
    public func enqueue(_ messages: [InferenceMessage]) async throws -> [EnqueueReceipt] {
        let configuration = configuration
        if let message = messages.first(where: { $0.payload.count > configuration.maximumPayloadBytes }) {
            throw MessageQueueError.messageTooLarge(
                id: message.id, bytes: message.payload.count, limit: configuration.maximumPayloadBytes)
        }
        let bytes = messages.reduce(0) { $0 + $1.payload.count + 512 }
        let receipts = try await writer.perform(weight: bytes, isDurable: true) { database in
            guard try MessageStore.usedBytes(database) + bytes <= configuration.maximumFileBytes else {
                throw MessageQueueError.full(
                    place: configuration.path, detail: "limit \(configuration.maximumFileBytes) bytes")
            }
            return try messages.map { try MessageStore.enqueue($0, database) }
        }
        if receipts.contains(.accepted) { readiness.notify() }
        return receipts
    }

    /// Takes messages, as `MessageQueue` says. Only the consumer may.
    public func lease(limit: Int, duration: TimeSpan) async throws -> [LeasedMessage] {
        precondition(role == .consumer, "only the consumer leases messages")
        guard limit > 0 else { return [] }
        let clock = configuration.clock
        let maximumBytes = configuration.maximumLeaseBytes
        let token = Int64.random(in: 1...Int64.max)
        return try await writer.perform(isDurable: false) { database in
            let now = clock.now()
            return try MessageStore.lease(
                limit: limit, maximumBytes: maximumBytes, until: now + duration, token: token, now: now, database)
        }
    }

    /// Extends leases, as `MessageQueue` says.
    public func extend(_ leases: [Lease], duration: TimeSpan) async throws -> [Lease] {
        let clock = configuration.clock
        return try await writer.perform(isDurable: false) { database in
            try MessageStore.extend(leases, until: clock.now() + duration, database)
        }
    }

    /// Gives a message back, as `MessageQueue` says.
    public func release(_ lease: Lease, attempts: AttemptRecord, readyAt: Instant) async throws -> Bool {
        let clock = configuration.clock
        let wasOurs = try await writer.perform(isDurable: false) { database in
            try MessageStore.release(lease, attempts: attempts, readyAt: readyAt, now: clock.now(), database)
        }
        readiness.notify()
        return wasOurs
    }

    /// Stores a result in the place of its message, as `MessageQueue` says.
    public func complete(_ lease: Lease, with result: InferenceResult) async throws -> Bool {
        let wasOurs = try await writer.perform(weight: result.payload?.count ?? 0, isDurable: true) { database in
            try MessageStore.complete(lease, with: result, database)
        }
        if wasOurs { completions.notify() }
        return wasOurs
    }

    /// Suspends until a message may be ready, whichever process enqueued it, or the task is cancelled.
    public func waitUntilReady() async throws {
        try await wait(on: readiness) { database in try MessageStore.nextReady(database) ?? .distantFuture }
    }

    /// Suspends until there is a result after `cursor`, whichever process stored it, or the task is cancelled.
    public func waitForResults(after cursor: Int64) async throws {
        try await wait(on: completions) { database in
            try MessageStore.hasResult(after: cursor, database) ? .zero : .distantFuture
        }
    }

    /// Reads on in the results, as `MessageQueue` says.
    public func results(after cursor: Int64, limit: Int) async throws -> [StoredResult] {
        try await reading { database in try MessageStore.results(after: cursor, limit: limit, database) }
    }

    /// How full the queue is. Counts by index: milliseconds for a hundred thousand messages.
    public func depth() async throws -> QueueDepth {
        let clock = configuration.clock
        return try await reading { database in try MessageStore.depth(now: clock.now(), database) }
    }

    /// Up to `limit` messages that are not finished, in the order of submission, behind the one numbered `sequence`.
    public func list(after sequence: Int64, limit: Int) async throws -> [QueuedMessage] {
        let clock = configuration.clock
        return try await reading { database in
            try MessageStore.list(after: sequence, limit: limit, now: clock.now(), database)
        }
    }

    /// Closes the file. Calls that are under way finish, later ones fail.
    public func close() throws(MessageQueueError) {
        writer.close()
        do {
            try pool.close()
        } catch {
            throw MessageQueueError(error, place: configuration.path)
        }
        lock.withLock { $0 = nil }
    }

    /// Suspends until the time that `look` gives has come; looks again after each change, our own or another's.
    private func wait(
        on signal: ChangeSignal, _ look: @escaping @Sendable (Database) throws -> Instant
    ) async throws {
        do {
            while !Task.isCancelled {
                let version = signal.version
                let (due, foreign) = try await writing { database in
                    (try look(database), try MessageStore.foreignVersion(database))
                }
                var remaining = due - configuration.clock.now()
                while remaining > .zero {
                    await signal.wait(past: version, atMost: min(remaining, configuration.foreignPoll))
                    if signal.version > version { break }
                    if try await writing(MessageStore.foreignVersion) != foreign { break }
                    remaining = due - configuration.clock.now()
                }
                if remaining <= .zero { return }
            }
        } catch is CancellationError {
            return
        }
    }

    private func reading<Value: Sendable>(
        _ body: @escaping @Sendable (Database) throws -> Value
    ) async throws -> Value {
        do {
            return try await pool.read(body)
        } catch let error as CancellationError {
            throw error
        } catch {
            throw MessageQueueError(error, place: configuration.path)
        }
    }

    /// Runs on the writing connection, whose change counter leaves out our own writes.
    private func writing<Value: Sendable>(
        _ body: @escaping @Sendable (Database) throws -> Value
    ) async throws -> Value {
        do {
            return try await pool.writeWithoutTransaction(body)
        } catch let error as CancellationError {
            throw error
        } catch {
            throw MessageQueueError(error, place: configuration.path)
        }
    }
}
