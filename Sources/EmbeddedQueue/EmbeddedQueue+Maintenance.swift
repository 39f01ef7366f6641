public import Basics
import GRDB
import MessageQueues

extension EmbeddedQueue {
    /// Dead letters looked at in one transaction of a redrive.
    private static let redriveChunk = 100
    /// Seconds between two sweeps.
    private static let sweepInterval = 60

    /// Everything that is known of the request with this id, its payload included; nil if nothing is.
    public func peek(_ id: String) async throws -> RequestDetail? {
        let clock = configuration.clock
        return try await reading { database in try MessageStore.peek(id, now: clock.now(), database) }
    }

    /// Up to `limit` messages that are not finished, in the order of submission behind the one numbered `sequence`, as
    /// lines that can be submitted; up to 16 MiB at a time.
    public func export(after sequence: Int64, limit: Int) async throws -> [ExportedMessage] {
        try await reading { database in try MessageStore.export(after: sequence, limit: limit, database) }
    }

    /// Up to `limit` dead letters in the order of submission behind the one numbered `sequence`; up to 16 MiB at a time.
    public func deadLetters(after sequence: Int64, limit: Int) async throws -> [DeadLetter] {
        try await reading { database in try MessageStore.deadLetters(after: sequence, limit: limit, database) }
    }

    /// Runs dead letters again; returns how many.
    ///
    /// Each is a new generation of its id, with no attempts counted. It keeps its deadline, or gets `deadline` if that has
    /// passed. What cannot run (part of it is lost, or the id is in use again) stays a dead letter.
    public func redrive(_ selection: DeadLetterSelection, deadline: Instant) async throws -> Int {
        let clock = configuration.clock
        var count = 0
        switch selection {
        case .ids(let ids):
            for id in ids {
                let isRedriven = try await writer.perform(isDurable: true) { store, database in
                    try store.redrive(id: id, deadline: deadline, now: clock.now(), database)
                }
                count += isRedriven ? 1 : 0
            }
        case .all:
            var last: Int64? = 0
            while let start = last {
                let redriven = try await writer.perform(isDurable: true) { store, database in
                    try store.redrive(
                        after: start, limit: Self.redriveChunk, deadline: deadline, now: clock.now(), database)
                }
                count += redriven.count
                last = redriven.last
            }
        }
        return count
    }

    /// Removes what is finished; returns how much. Their ids are free to be used again.
    public func purge(_ selection: PurgeSelection) async throws -> PurgeCount {
        let count = try await removeAll { store, database in try store.purge(selection, database) }
        try await shrink()
        return count
    }

    /// Removes what has been kept long enough and gives free room back to the file system. The consumer does so once a
    /// minute by itself. For an hour after a jump of the calendar nothing is removed for its age.
    @discardableResult public func sweep() async throws -> PurgeCount {
        let retention = configuration.retention
        let clock = configuration.clock
        let count = try await removeAll { store, database in try store.sweep(retention, time: clock.time, database) }
        try await shrink()
        return count
    }

    /// Repeats a removal of a few until there is nothing left; others write in between.
    private func removeAll(
        _ body: @escaping @Sendable (inout MessageStore, Database) throws -> PurgeCount
    ) async throws -> PurgeCount {
        var total = PurgeCount()
        while true {
            let part = try await writer.perform(isDurable: false, body)
            guard part != PurgeCount() else { return total }
            total += part
        }
    }

    private func shrink() async throws {
        var hasShrunk = false
        while try await writer.perform(isDurable: false, { _, database in try MessageStore.shrink(database) }) {
            hasShrunk = true
        }
        // The file itself gets shorter when the log is written back to it.
        if hasShrunk { try await checkpoint() }
    }

    /// Looks after the queue once a second until the task is cancelled or the queue is gone.
    static func keepHouse(_ queue: @Sendable () -> EmbeddedQueue?) async {
        var seconds = 0
        while (try? await Task.sleep(for: .seconds(1))) != nil, let queue = queue() {
            seconds += 1
            queue.signals.waiters.follow()
            guard queue.role == .consumer else { continue }
            do {
                let clock = queue.configuration.clock
                try await queue.writer.perform(isDurable: true) { store, database in
                    try store.tick(clock.time, database)
                }
                if seconds % sweepInterval == 0 { try await queue.sweep() }
            } catch MessageQueueError.closed {
                return
            } catch {
                queue.configuration.reportsError(error)
            }
        }
    }
}
