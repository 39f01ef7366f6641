package import Basics
package import Delivery
package import GRDB
package import MessageQueues

import struct Foundation.Data

/// The queue itself: what happens to messages, as statements on a database and a little memory.
///
/// Free of clocks, randomness and tasks: the time and the tokens of leases come in from outside. Each method runs inside a
/// transaction of the caller's. The value belongs to the transaction: whoever rolls one back takes the value of before it
/// again. What is in memory only (leases, shares of tenants, the clock) matters to the one process that leases messages;
/// others use the same methods with an empty memory.
package struct MessageStore: Sendable {
    /// The name of the queue, for the results that the queue makes itself.
    package let name: String
    /// What has happened since it was last asked for; see `takeChanges()`.
    var changes = Changes()
    var leases = LeaseTable()
    /// Who has had how much, for each priority class.
    var shares: [Int: FairShare] = [:]
    /// Where a class with more lanes than are looked at in one call is gone on with.
    var resumption: [Int: Lane] = [:]
    /// The last look at the two clocks.
    var lastTime: DeliveryTime?
    /// When, in steady time, the calendar was last seen to jump too far to remove anything by its date.
    var lastJump: Instant?
    /// What the running transaction adds to the counts in the file; see `writeTally(_:)`.
    var tally = Tally()

    /// A change of the wall clock against the steady one that counts as a correction.
    package static let clockStep = TimeSpan.milliseconds(500)

    /// A correction that makes the calendar doubtful: it may be taken back, and what was removed by its date would be lost.
    package static let clockJump = TimeSpan.seconds(60)

    /// Remembers nothing yet.
    package init(name: String) { self.name = name }

    /// What became of a transaction, for those who wait.
    package struct Changes: Hashable, Sendable {
        /// Requests that have got a result.
        package var finished: [Finished] = []
        /// Messages may have become ready.
        package var hasReady = false
        /// Leased messages are to be taken back.
        package var hasCancellations = false
        /// Notifications have been put into the outbox, or their times have changed.
        package var hasWebhooks = false
        /// Results that the queue itself has made.
        package var ownResults = OwnResults()

        /// A request that has got a result.
        package struct Finished: Hashable, Sendable {
            /// The id of the request.
            package let id: String
            /// The place of the result.
            package let cursor: Int64
        }
    }

    /// What has happened since the last call; to be told once the transaction is committed.
    package mutating func takeChanges() -> Changes {
        defer { changes = Changes() }
        return changes
    }

    /// Stores a message, unless its id is taken. `digest` is the message's `contentDigest`.
    package mutating func enqueue(
        _ message: InferenceMessage, digest: UInt64, now: Instant, _ database: Database
    ) throws -> EnqueueReceipt {
        let digest = Int64(bitPattern: digest)
        if let finished = try Self.finishedDigest(of: message.id, database) {
            // A request that runs again is queued, whatever became of its former generation.
            guard let queued = try Self.queuedDigest(of: message.id, database) else {
                return finished == digest ? .alreadyFinished : .conflict
            }
            return queued == digest ? .alreadyQueued : .conflict
        }
        try database.cachedStatement(
            sql: """
                INSERT INTO message (id, digest, state, due, token, deadline, created, path, model, headers, metadata,
                    priority, tenant, target, webhook, enqueued)
                VALUES (?, ?, 0, 0, 0, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING
                """
        ).execute(arguments: [
            message.id, digest, message.deadline.nanoseconds, message.created.nanoseconds, message.path, message.model,
            Columns.blob(message.headers), Columns.blob(message.metadata), message.priority, message.tenant,
            message.target, message.webhook, now.nanoseconds,
        ])
        guard database.changesCount > 0 else {
            return try Self.queuedDigest(of: message.id, database) == digest ? .alreadyQueued : .conflict
        }
        try database.cachedStatement(sql: "INSERT INTO payload (sequence, body) VALUES (?, ?)")
            .execute(arguments: [database.lastInsertedRowID, Data(message.payload)])
        tally.unfinished += 1
        changes.hasReady = true
        return .accepted
    }

    private static func queuedDigest(of id: String, _ database: Database) throws -> Int64? {
        try Int64.fetchOne(
            database.cachedStatement(sql: "SELECT digest FROM message WHERE id = ?"), arguments: [id])
    }

    /// The digest of what has a result under this id. A dead letter whose result is gone does not hold its id any longer.
    private static func finishedDigest(of id: String, _ database: Database) throws -> Int64? {
        try Int64.fetchOne(
            database.cachedStatement(sql: "SELECT digest FROM result WHERE id = ? ORDER BY sequence DESC LIMIT 1"),
            arguments: [id])
    }

    /// Bytes in use, free pages not counted.
    package static func usedBytes(_ database: Database) throws -> Int {
        let pages = try Int.fetchOne(database.cachedStatement(sql: "PRAGMA page_count")) ?? 0
        let free = try Int.fetchOne(database.cachedStatement(sql: "PRAGMA freelist_count")) ?? 0
        let size = try Int.fetchOne(database.cachedStatement(sql: "PRAGMA page_size")) ?? 0
        return (pages - free) * size
    }

    /// Compares the clocks, and moves the times of what waits with the wall clock when somebody has corrected it: a pause
    /// lasts as long as it was meant to. All of them in one transaction, a third of a second for a hundred thousand: in
    /// parts, a crash in between would leave some that nobody could tell from the others.
    mutating func observe(_ time: DeliveryTime, _ database: Database) throws {
        defer { lastTime = time }
        guard let lastTime else { return }
        let step = (time.wall - lastTime.wall) - (time.steady - lastTime.steady)
        if step > Self.clockJump || step < .zero - Self.clockJump { lastJump = time.steady }
        guard step > Self.clockStep || step < .zero - Self.clockStep else { return }
        try database.execute(
            sql: "UPDATE message SET due = due + ? WHERE state = 1", arguments: [step.nanoseconds])
        try database.execute(sql: "UPDATE webhook SET due = due + ?", arguments: [step.nanoseconds])
        changes.hasReady = true
        changes.hasWebhooks = true
    }
}
