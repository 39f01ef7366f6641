import Basics
import GRDB
import MessageQueues
import Synchronization

/// Gathers concurrent writes into shared transactions.
///
/// A transaction costs a flush to the disk, however little it holds. Whoever wants to write hands in an operation and
/// suspends; one writer (the serial queue of GRDB's writing connection, never a thread of the cooperative pool) takes all
/// that have come together, runs them in one transaction and resumes their callers once it is committed. While a commit is
/// under way the next batch gathers, so the batch adapts to the load by itself.
///
/// The memory of the queue (`MessageStore`) goes with the transaction: it is as before if that is rolled back. What a commit
/// has changed is told once for the whole batch, before its callers go on.
final class GroupCommit: Sendable {
    /// Operations in one transaction; bounds how long its first caller waits for the last.
    static let maximumBatch = 1024
    /// Bytes of payload in one transaction; an operation that is larger has a transaction for itself.
    static let maximumBatchBytes = 16 << 20

    private struct Operation: Sendable {
        /// Bytes that it will write, roughly.
        let weight: Int
        /// Whether its caller must be able to rely on it after a power failure.
        let isDurable: Bool
        /// Runs it inside the transaction; the returned closure tells the caller, once committed.
        let run: @Sendable (inout MessageStore, Database) throws -> (@Sendable () -> Void)
        let fail: @Sendable (MessageQueueError) -> Void
    }

    private struct State {
        var pending: [Operation] = []
        var isWriting = false
        var isClosed = false
        /// Whether the connection now flushes at each commit; nil if it has not been told yet.
        var flushes: Bool?
    }

    private let pool: DatabasePool
    private let place: String
    private let flushesForPowerLoss: Bool
    private let state = Mutex(State())
    /// Only touched on the writing connection, so nobody ever waits for this.
    private let store: Mutex<MessageStore>
    private let committed: @Sendable (MessageStore.Changes) -> Void

    init(
        pool: DatabasePool, place: String, flushesForPowerLoss: Bool, store: MessageStore,
        committed: @escaping @Sendable (MessageStore.Changes) -> Void
    ) {
        self.pool = pool
        self.place = place
        self.flushesForPowerLoss = flushesForPowerLoss
        self.store = Mutex(store)
        self.committed = committed
    }

    /// Runs `body` in a transaction together with others; returns when it is committed.
    ///
    /// `body` may run more than once, each time from the same state of the database, and must not keep anything but its
    /// return value. Does not react to cancellation: what is handed in will be written.
    func perform<Value: Sendable>(
        weight: Int = 0, isDurable: Bool,
        _ body: @escaping @Sendable (inout MessageStore, Database) throws -> Value
    ) async throws -> Value {
        try await withCheckedThrowingContinuation { continuation in
            let operation = Operation(
                weight: weight, isDurable: isDurable,
                run: { store, database in
                    let value = try body(&store, database)
                    return { continuation.resume(returning: value) }
                },
                fail: { continuation.resume(throwing: $0) })
            let (starts, isClosed) = state.withLock { state in
                guard !state.isClosed else { return (false, true) }
                state.pending.append(operation)
                defer { state.isWriting = true }
                return (!state.isWriting, false)
            }
            if isClosed { return operation.fail(.closed) }
            if starts { pool.asyncWriteWithoutTransaction { database in self.writeAll(database) } }
        }
    }

    /// Refuses further operations; those handed in are still written.
    func close() { state.withLock { $0.isClosed = true } }

    private func writeAll(_ database: Database) {
        while let batch = nextBatch() {
            do {
                for answer in try write(batch, database) { answer() }
            } catch {
                writeOneByOne(batch, after: MessageQueueError(error, place: place), database)
            }
        }
    }

    /// Writes the operations of a batch that has failed: one bad operation must not fail its neighbours. Only a lock that
    /// another process holds concerns all of them, and has been waited for long enough.
    private func writeOneByOne(_ batch: ArraySlice<Operation>, after error: MessageQueueError, _ database: Database) {
        var error = error
        for operation in batch {
            if batch.count == 1 || error == .locked(place: place) {
                operation.fail(error)
                continue
            }
            do {
                for answer in try write([operation], database) { answer() }
            } catch let failure {
                let failure = MessageQueueError(failure, place: place)
                if failure == .locked(place: place) { error = failure }
                operation.fail(failure)
            }
        }
    }

    /// The operations of the next transaction; nil, and the writer is free, if there are none.
    private func nextBatch() -> ArraySlice<Operation>? {
        state.withLock { state in
            guard !state.pending.isEmpty else {
                state.isWriting = false
                return nil
            }
            var count = 0
            var bytes = 0
            for operation in state.pending.prefix(Self.maximumBatch) {
                bytes += operation.weight
                if count > 0, bytes > Self.maximumBatchBytes { break }
                count += 1
            }
            let batch = state.pending.prefix(count)
            state.pending.removeFirst(count)
            return batch
        }
    }

    private func write(
        _ batch: ArraySlice<Operation>, _ database: Database
    ) throws -> [@Sendable () -> Void] {
        // FULL flushes the log at the commit, NORMAL only at a checkpoint. Both survive the death of the process; a lease
        // that is lost with the power was worth nothing anyway.
        let flushes = flushesForPowerLoss && batch.contains(where: \.isDurable)
        if state.withLock({ $0.flushes != flushes }) {
            // SQLite obeys this pragma when it is compiled, so a cached statement would do nothing.
            try database.execute(sql: "PRAGMA synchronous = \(flushes ? "FULL" : "NORMAL")")
            state.withLock { $0.flushes = flushes }
        }
        let answers = try store.withLock { store in
            let before = store
            do {
                var answers: [@Sendable () -> Void] = []
                answers.reserveCapacity(batch.count)
                try database.inTransaction(.immediate) {
                    for operation in batch { answers.append(try operation.run(&store, database)) }
                    try store.writeTally(database)
                    return .commit
                }
                let changes = store.takeChanges()
                if changes != MessageStore.Changes() { committed(changes) }
                return answers
            } catch {
                store = before
                throw error
            }
        }
        return answers
    }

    /// Looks at the memory and the database together, without a transaction.
    func look<Value: Sendable>(
        _ body: @escaping @Sendable (MessageStore, Database) throws -> Value
    ) async throws -> Value {
        try await pool.writeWithoutTransaction { database in
            try body(self.store.withLock { $0 }, database)
        }
    }
}
