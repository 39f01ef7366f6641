import Basics
import Delivery
import GRDB
import MessageQueues

import struct Foundation.Data

/// The statements of the queue. Each function runs inside a transaction of the caller's.
enum MessageStore {
    /// The `state` of a message. While delayed or leased, `due` says when that ends.
    ///
    /// Statements that look for a state name it literally: SQLite uses a partial index only for what it can see to be in it.
    private enum State {
        static let ready = 0
        static let delayed = 1
        static let leased = 2
    }

    static func enqueue(_ message: InferenceMessage, _ database: Database) throws -> EnqueueReceipt {
        let digest = Int64(bitPattern: message.contentDigest)
        if let finished = try Int64.fetchOne(
            database.cachedStatement(sql: "SELECT digest FROM result WHERE id = ?"), arguments: [message.id])
        {
            return finished == digest ? .alreadyFinished : .conflict
        }
        try database.cachedStatement(
            sql: """
                INSERT INTO message (id, digest, state, due, token, deadline, created, path, model, headers, metadata)
                VALUES (?, ?, 0, 0, 0, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING
                """
        ).execute(arguments: [
            message.id, digest, message.deadline.nanoseconds, message.created.nanoseconds, message.path, message.model,
            blob(message.headers), blob(message.metadata),
        ])
        guard database.changesCount > 0 else {
            let queued = try Int64.fetchOne(
                database.cachedStatement(sql: "SELECT digest FROM message WHERE id = ?"), arguments: [message.id])
            return queued == digest ? .alreadyQueued : .conflict
        }
        try database.cachedStatement(sql: "INSERT INTO payload (sequence, body) VALUES (?, ?)")
            .execute(arguments: [database.lastInsertedRowID, Data(message.payload)])
        return .accepted
    }

    /// Bytes in use, free pages not counted.
    static func usedBytes(_ database: Database) throws -> Int {
        let pages = try Int.fetchOne(database.cachedStatement(sql: "PRAGMA page_count")) ?? 0
        let free = try Int.fetchOne(database.cachedStatement(sql: "PRAGMA freelist_count")) ?? 0
        let size = try Int.fetchOne(database.cachedStatement(sql: "PRAGMA page_size")) ?? 0
        return (pages - free) * size
    }

    /// Takes the first `limit` ready messages, or fewer if their payloads exceed `maximumBytes` together.
    static func lease(
        limit: Int, maximumBytes: Int, until: Instant, token: Int64, now: Instant, _ database: Database
    ) throws -> [LeasedMessage] {
        try endOverdue(now: now, database)
        var leased: [LeasedMessage] = []
        var unreadable: [(LeasedMessage, digest: Int64)] = []
        var bytes = 0
        let rows = try Row.fetchCursor(
            database.cachedStatement(
                sql: """
                    SELECT m.sequence, id, deadline, created, path, model, headers, metadata, dispatches, failures, sheds,
                        evictions, first_dispatched, last_status, last_endpoint, last_error, body, digest
                    FROM message AS m LEFT JOIN payload AS p ON p.sequence = m.sequence
                    WHERE state = 0 ORDER BY deadline, m.sequence LIMIT ?
                    """), arguments: [limit])
        while bytes < maximumBytes, let row = try rows.next() {
            let lease = Lease(sequence: row[0], token: token)
            let headers = map(row, 6)
            let metadata = map(row, 7)
            let body = self.bytes(row, 16)
            let message = InferenceMessage(
                id: row[1], created: Instant(nanoseconds: row[3]), deadline: Instant(nanoseconds: row[2]), path: row[4],
                payload: body ?? [], model: row[5], headers: headers ?? [:], metadata: metadata ?? [:])
            bytes += message.payload.count
            let entry = LeasedMessage(lease: lease, message: message, attempts: attempts(row, from: 8))
            if body == nil || headers == nil || metadata == nil {
                unreadable.append((entry, row[17]))
            } else {
                leased.append(entry)
            }
        }
        let update = try database.cachedStatement(
            sql: "UPDATE message SET state = 2, due = ?, token = ? WHERE sequence = ?")
        for message in leased {
            try update.execute(arguments: [until.nanoseconds, token, message.lease.sequence])
        }
        for (entry, digest) in unreadable {
            var result = InferenceResult(for: entry.message, attempts: entry.attempts, finished: now)
            result.errorCode = .payloadUnavailable
            result.errorMessage = "the stored request can no longer be read"
            try finish(entry.lease.sequence, with: result, digest: digest, database)
        }
        return leased
    }

    /// Makes messages ready whose delay or lease has ended.
    private static func endOverdue(now: Instant, _ database: Database) throws {
        for state in [State.delayed, State.leased] {
            try database.cachedStatement(
                sql: "UPDATE message SET state = 0, token = 0 WHERE state = \(state) AND due <= ?"
            ).execute(arguments: [now.nanoseconds])
        }
    }

    /// Makes every leased message ready.
    static func endAllLeases(_ database: Database) throws {
        try database.execute(sql: "UPDATE message SET state = 0, token = 0 WHERE state = 2")
    }

    /// Returns the leases that are lost.
    static func extend(_ leases: [Lease], until: Instant, _ database: Database) throws -> [Lease] {
        let update = try database.cachedStatement(
            sql: "UPDATE message SET due = ? WHERE sequence = ? AND token = ? AND state = 2")
        return try leases.filter { lease in
            try update.execute(arguments: [until.nanoseconds, lease.sequence, lease.token])
            return database.changesCount == 0
        }
    }

    static func release(
        _ lease: Lease, attempts: AttemptRecord, readyAt: Instant, now: Instant, _ database: Database
    ) throws -> Bool {
        try database.cachedStatement(
            sql: """
                UPDATE message SET state = ?, due = ?, token = 0, dispatches = ?, failures = ?, sheds = ?, evictions = ?,
                    first_dispatched = ?, last_status = ?, last_endpoint = ?, last_error = ?
                WHERE sequence = ? AND token = ? AND state = 2
                """
        ).execute(arguments: [
            readyAt <= now ? State.ready : State.delayed, readyAt.nanoseconds, attempts.dispatches, attempts.failures,
            attempts.sheds, attempts.evictions, attempts.firstDispatched?.nanoseconds, attempts.lastStatusCode,
            attempts.lastEndpoint, attempts.lastError, lease.sequence, lease.token,
        ])
        return database.changesCount > 0
    }

    static func complete(_ lease: Lease, with result: InferenceResult, _ database: Database) throws -> Bool {
        guard
            let digest = try Int64.fetchOne(
                database.cachedStatement(
                    sql: "SELECT digest FROM message WHERE sequence = ? AND token = ? AND state = 2"),
                arguments: [lease.sequence, lease.token])
        else { return false }
        try finish(lease.sequence, with: result, digest: digest, database)
        return true
    }

    /// Puts the result in the place of the message.
    private static func finish(
        _ sequence: Int64, with result: InferenceResult, digest: Int64, _ database: Database
    ) throws {
        // The deletions come first: on a full file their pages are what the result is written to.
        try database.cachedStatement(sql: "DELETE FROM message WHERE sequence = ?").execute(arguments: [sequence])
        try database.cachedStatement(sql: "DELETE FROM payload WHERE sequence = ?").execute(arguments: [sequence])
        try database.cachedStatement(
            sql: "INSERT INTO result (id, digest, status, error_code, finished, line) VALUES (?, ?, ?, ?, ?, ?)"
        ).execute(arguments: [
            result.id, digest, result.statusCode, result.errorCode?.rawValue, result.finished.nanoseconds,
            Data(ResultCodec.encode(result)),
        ])
    }

    static func results(after cursor: Int64, limit: Int, _ database: Database) throws -> [StoredResult] {
        try Row.fetchCursor(
            database.cachedStatement(
                sql: "SELECT cursor, id, status, error_code, line FROM result WHERE cursor > ? ORDER BY cursor LIMIT ?"),
            arguments: [cursor, limit]
        ).reduce(into: []) { results, row in
            results.append(
                StoredResult(
                    cursor: row[0], id: row[1], statusCode: row[2], errorCode: row[3], line: bytes(row, 4) ?? []))
        }
    }

    static func hasResult(after cursor: Int64, _ database: Database) throws -> Bool {
        try Int64.fetchOne(
            database.cachedStatement(sql: "SELECT MAX(cursor) FROM result")) ?? 0 > cursor
    }

    /// When a message can be leased: in the past if one can be now, nil if there is none.
    static func nextReady(_ database: Database) throws -> Instant? {
        if try Int.fetchOne(database.cachedStatement(sql: "SELECT 1 FROM message WHERE state = 0 LIMIT 1")) != nil {
            return .zero
        }
        let ends = try [State.delayed, State.leased].compactMap { state in
            try Int64.fetchOne(
                database.cachedStatement(sql: "SELECT MIN(due) FROM message WHERE state = \(state)"))
        }
        return ends.min().map(Instant.init(nanoseconds:))
    }

    /// A number that changes when another connection, of this or another process, has committed.
    static func foreignVersion(_ database: Database) throws -> Int {
        try Int.fetchOne(database.cachedStatement(sql: "PRAGMA data_version")) ?? 0
    }

    static func depth(now: Instant, _ database: Database) throws -> QueueDepth {
        func count(_ state: Int, due condition: String) throws -> Int {
            try Int.fetchOne(
                database, sql: "SELECT COUNT(*) FROM message WHERE state = \(state) AND due \(condition) ?",
                arguments: [now.nanoseconds]) ?? 0
        }
        var depth = QueueDepth()
        depth.ready = try Int.fetchOne(database, sql: "SELECT COUNT(*) FROM message WHERE state = 0") ?? 0
        for state in [State.delayed, State.leased] { depth.ready += try count(state, due: "<=") }
        depth.delayed = try count(State.delayed, due: ">")
        depth.leased = try count(State.leased, due: ">")
        // Cursors are given out without gaps and results are only ever removed from the oldest on; counting them one by one
        // would take longer every day.
        depth.results =
            try Int.fetchOne(
                database, sql: "SELECT (SELECT MAX(cursor) FROM result) - (SELECT MIN(cursor) FROM result) + 1") ?? 0
        depth.earliestDeadline = try Int64.fetchOne(
            database, sql: "SELECT MIN(deadline) FROM message WHERE state = 0"
        ).map(Instant.init(nanoseconds:))
        return depth
    }

    static func list(after sequence: Int64, limit: Int, now: Instant, _ database: Database) throws -> [QueuedMessage] {
        try Row.fetchCursor(
            database.cachedStatement(
                sql: """
                    SELECT sequence, id, path, model, state, due, deadline, created, dispatches, failures, sheds, evictions,
                        first_dispatched, last_status, last_endpoint, last_error
                    FROM message WHERE sequence > ? ORDER BY sequence LIMIT ?
                    """), arguments: [sequence, limit]
        ).reduce(into: []) { list, row in
            let due = Instant(nanoseconds: row[5])
            let stage: QueuedMessage.Stage =
                switch row[4] as Int {
                case State.delayed where due > now: .delayed(until: due)
                case State.leased where due > now: .leased(until: due)
                default: .ready
                }
            list.append(
                QueuedMessage(
                    sequence: row[0], id: row[1], path: row[2], model: row[3], stage: stage,
                    deadline: Instant(nanoseconds: row[6]), created: Instant(nanoseconds: row[7]),
                    attempts: attempts(row, from: 8)))
        }
    }

    private static func attempts(_ row: Row, from column: Int) -> AttemptRecord {
        var attempts = AttemptRecord()
        attempts.dispatches = row[column]
        attempts.failures = row[column + 1]
        attempts.sheds = row[column + 2]
        attempts.evictions = row[column + 3]
        attempts.firstDispatched = (row[column + 4] as Int64?).map(Instant.init(nanoseconds:))
        attempts.lastStatusCode = row[column + 5]
        attempts.lastEndpoint = row[column + 6]
        attempts.lastError = row[column + 7]
        return attempts
    }

    private static func blob(_ map: [String: String]) -> Data? {
        map.isEmpty ? nil : Data(MessageCodec.encodeMap(map))
    }

    /// The map in a column; nil if it is not readable.
    private static func map(_ row: Row, _ column: Int) -> [String: String]? {
        guard let bytes = bytes(row, column) else { return [:] }
        return MessageCodec.decodeMap(bytes)
    }

    private static func bytes(_ row: Row, _ column: Int) -> [UInt8]? {
        try? row.withUnsafeData(atIndex: column) { data in data.map { [UInt8]($0) } }
    }
}
