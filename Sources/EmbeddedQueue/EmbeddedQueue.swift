public import Basics
import Delivery
import GRDB
public import MessageQueues
import Synchronization

/// A durable queue in one SQLite file (WAL mode), in this process and shared with others.
///
/// - Durability: what has been accepted or completed survives the death of the process. With `flushesForPowerLoss`, the
///   default, it survives the loss of power too: each group commit then waits for the disk. Without it the last moments
///   before a power failure may be forgotten, though the file stays sound.
/// - Speed: concurrent calls share transactions (`GroupCommit`).
/// - Order: the highest priority class first; within a class tenants share by bytes (`FairShare`); of a tenant the
///   earliest deadline, then the first submitted. One call looks at up to `MessageStore.maximumLanes` pairs of tenant and
///   model of a class; of more, each call looks at the next ones.
/// - Processes: any number may open one file. One at a time may be its consumer, the one that leases messages; when it
///   dies, the next consumer has its messages at once. What other processes do is heard at once (`Bell`), and noticed
///   within `foreignPoll` if that fails.
/// - Time: a lease is judged by the steady clock of the consumer. The times of what waits to be tried again move with the
///   wall clock when that is corrected.
/// - The file must lie on a local disk: SQLite's WAL shares memory between its users.
public final class EmbeddedQueue: Sendable {
    /// What this opening of the file is for.
    public enum Role: Hashable, Sendable {
        /// Enqueue, cancel, read results, look around and clean up.
        case client
        /// Lease and complete messages as well; one at a time for each file.
        case consumer
    }

    /// How a file is opened.
    public struct Configuration: Sendable {
        /// The database file.
        public var path: String
        /// The queue's name, for the results that the queue itself makes (of cancelled messages, for example).
        public var name = "default"
        /// Whether a missing file is created.
        public var createsFile = true
        /// Whether accepted messages and results survive the loss of power.
        public var flushesForPowerLoss = true
        /// A payload may be this large, in bytes.
        public var maximumPayloadBytes = 64 << 20
        /// Nothing is enqueued that would let the file use more than this, in bytes. Results may use another eighth, so
        /// that a full queue can be worked off. The consumer's limit binds the clients as well.
        public var maximumFileBytes = 64 << 30
        /// Nothing is enqueued when the disk has less room left than this, in bytes: it is for the results of what has been
        /// accepted.
        public var reservedDiskBytes = 64 << 20
        /// One lease call stops taking messages when their payloads exceed this together, in bytes.
        public var maximumLeaseBytes = 64 << 20
        /// Results are removed when they are this old; nil keeps them. The consumer sees to it.
        public var resultRetention: TimeSpan? = .seconds(7 * 86_400)
        /// Dead letters are removed when they are this old; nil keeps them. The consumer sees to it.
        public var deadLetterRetention: TimeSpan? = .seconds(30 * 86_400)
        /// The oldest results are removed when the results' lines exceed this together, in bytes; nil sets no limit.
        public var maximumResultBytes: Int?
        /// How long to wait for another process that is writing.
        public var busyTimeout = TimeSpan.seconds(10)
        /// How soon the writes of other processes are noticed if a ring is missed; sooner where no bell can be heard.
        public var foreignPoll = BellWatcher.fallbackPoll
        /// The source of the time.
        public var clock: any DeliveryClock = SystemClock()
        /// Told of each failure of the queue's own housekeeping, for the log.
        public var reportsError: @Sendable (any Error) -> Void = { _ in }
        /// Room for results beyond `maximumFileBytes`, in bytes; nil stands for an eighth.
        package var resultReserve: Int?

        /// The defaults for a file.
        public init(path: String) { self.path = path }

        /// The file never grows beyond this, given the bytes that it has when it is opened: a limit that was lowered below
        /// them must not keep the results out.
        func hardLimit(present bytes: Int) -> Int {
            let (limit, overflows) = max(maximumFileBytes, bytes)
                .addingReportingOverflow(resultReserve ?? maximumFileBytes / 8)
            return overflows ? .max : limit
        }

        var retention: Retention {
            Retention(
                results: resultRetention, deadLetters: deadLetterRetention, maximumResultBytes: maximumResultBytes)
        }
    }

    let configuration: Configuration
    let role: Role
    let writer: GroupCommit
    let signals: QueueSignals
    private let pool: DatabasePool
    /// Held from the opening to the closing of a consumer.
    private let lock: Mutex<ConsumerLock?>
    private let housekeeping = Mutex<Task<Void, Never>?>(nil)

    /// Opens the file; as the consumer it also takes back what a dead consumer held.
    public init(_ configuration: Configuration, role: Role) throws(MessageQueueError) {
        self.configuration = configuration
        self.role = role
        let path = configuration.path
        pool = try QueueFile.open(path, configuration)
        lock = Mutex(role == .consumer ? try ConsumerLock(queuePath: path) : nil)
        let signals = try QueueSignals(path: path, role: role, waiters: ResultWaiters(pool: pool))
        self.signals = signals
        var store: MessageStore
        do {
            switch role {
            case .consumer:
                store = try pool.write { database in
                    var store = MessageStore(name: configuration.name)
                    try store.recover(
                        configuration.clock.time, byteLimit: configuration.maximumFileBytes, database)
                    try store.writeTally(database)
                    return store
                }
            case .client:
                let name = try pool.read { try String.fetchOne($0, sql: "SELECT queue FROM tally") }
                store = MessageStore(name: name ?? configuration.name)
            }
        } catch {
            throw MessageQueueError(error, place: path)
        }
        signals.tell(store.takeChanges())
        writer = GroupCommit(
            pool: pool, place: path, flushesForPowerLoss: configuration.flushesForPowerLoss, store: store,
            committed: { signals.tell($0) })
        housekeeping.withLock { $0 = Task { [weak self] in await Self.keepHouse { self } } }
    }

    deinit { housekeeping.withLock { $0 }?.cancel() }

    /// Closes the file. Calls that are under way finish, later ones fail.
    public func close() throws(MessageQueueError) {
        housekeeping.withLock { $0 }?.cancel()
        writer.close()
        do {
            try pool.close()
        } catch {
            throw MessageQueueError(error, place: configuration.path)
        }
        signals.notifyAll()
        signals.waiters.wakeAll()
        lock.withLock { $0 = nil }
    }

    /// How long to wait for a bell before looking anyway.
    var foreignPoll: TimeSpan {
        signals.hearsOthers ? configuration.foreignPoll : min(configuration.foreignPoll, BellWatcher.deafPoll)
    }

    /// Suspends until `look` gives no time, or one that has passed; looks again after each change, ours or another's.
    func wait(on signal: ChangeSignal, _ look: () async throws -> TimeSpan?) async throws {
        do {
            while !Task.isCancelled {
                let version = signal.version
                let remaining = try await translated(look)
                if let remaining, remaining <= .zero { return }
                await signal.wait(past: version, atMost: min(remaining ?? .seconds(3600), foreignPoll))
            }
        } catch is CancellationError {
            return
        }
    }

    /// Reads the committed state, beside the writer.
    func reading<Value: Sendable>(
        _ body: @escaping @Sendable (Database) throws -> Value
    ) async throws -> Value {
        try await translated { try await pool.read(body) }
    }

    /// Writes the log back to the file, as far as no reader is in the way.
    func checkpoint() async throws {
        try await translated {
            _ = try await pool.writeWithoutTransaction { database in try database.checkpoint(.passive) }
        }
    }

    /// Translates errors of the database.
    func translated<Value>(_ body: () async throws -> Value) async throws -> Value {
        do {
            return try await body()
        } catch let error as CancellationError {
            throw error
        } catch {
            throw MessageQueueError(error, place: configuration.path)
        }
    }
}
