package import Basics
import Delivery
package import GRDB

extension DeadLetter {
    private static let columns = """
        d.sequence, d.id, d.tenant, d.priority, d.path, d.model, d.deadline, d.created, d.enqueued, d.headers,
        d.metadata, d.webhook, d.died, d.error_code, d.reason, d.dispatches, d.failures, d.sheds, d.evictions,
        d.first_dispatched, d.last_status, d.last_endpoint, d.last_error
        """
    private static let columnCount = 23

    /// Reads the columns above and the payload behind them.
    private init(_ row: Row) {
        let headers = Columns.map(row, 9)
        let metadata = Columns.map(row, 10)
        let payload = Columns.bytes(row, Self.columnCount)
        self.init(
            sequence: row[0],
            message: InferenceMessage(
                id: row[1], created: Instant(nanoseconds: row[7]), deadline: Instant(nanoseconds: row[6]),
                path: row[4], payload: payload ?? [], model: row[5], headers: headers ?? [:],
                metadata: metadata ?? [:], tenant: row[2], priority: row[3], webhook: row[11]),
            isComplete: headers != nil && metadata != nil && payload != nil,
            enqueued: Instant(nanoseconds: row[8]), died: Instant(nanoseconds: row[12]), errorCode: row[13],
            reason: row[14], attempts: Columns.attempts(row, from: 15))
    }

    /// Dead letters in the order of submission, up to `limit` and so many bytes of payload, or one.
    static func fetch(
        after sequence: Int64, limit: Int, maximumBytes: Int, _ database: Database
    ) throws -> [DeadLetter] {
        try fetch(
            condition: "d.sequence > ? ORDER BY d.sequence LIMIT ?", [sequence, limit], maximumBytes: maximumBytes,
            database)
    }

    /// Dead letters with this id, the oldest first.
    static func fetch(id: String, _ database: Database) throws -> [DeadLetter] {
        try fetch(condition: "d.id = ? ORDER BY d.sequence", [id], maximumBytes: .max, database)
    }

    static func fetchMessage(id: String, _ database: Database) throws -> InferenceMessage? {
        try fetch(id: id, database).last?.message
    }

    private static func fetch(
        condition: String, _ arguments: StatementArguments, maximumBytes: Int, _ database: Database
    ) throws -> [DeadLetter] {
        var letters: [DeadLetter] = []
        var bytes = 0
        let rows = try Row.fetchCursor(
            database.cachedStatement(
                sql: """
                    SELECT \(columns), p.body FROM dead AS d LEFT JOIN payload AS p ON p.sequence = d.sequence
                    WHERE \(condition)
                    """), arguments: arguments)
        while bytes < maximumBytes, let row = try rows.next() {
            let letter = DeadLetter(row)
            bytes += letter.message.payload.count
            letters.append(letter)
        }
        return letters
    }
}

extension MessageStore {
    /// What a redrive has done.
    package struct Redriven: Hashable, Sendable {
        /// Messages that wait again.
        package var count = 0
        /// The last dead letter looked at; nil if there was none.
        package var last: Int64?
    }

    /// Dead letters in the order of submission.
    package static func deadLetters(
        after sequence: Int64, limit: Int, _ database: Database
    ) throws -> [DeadLetter] {
        try DeadLetter.fetch(after: sequence, limit: limit, maximumBytes: maximumPageBytes, database)
    }

    /// Runs up to `limit` dead letters again, those behind a number.
    package mutating func redrive(
        after sequence: Int64, limit: Int, deadline: Instant, now: Instant, _ database: Database
    ) throws -> Redriven {
        var redriven = Redriven()
        for letter in try DeadLetter.fetch(
            after: sequence, limit: limit, maximumBytes: Self.maximumPageBytes, database)
        {
            if try redrive(letter, deadline: deadline, now: now, database) { redriven.count += 1 }
            redriven.last = letter.sequence
        }
        return redriven
    }

    /// Runs the newest dead letter with this id again; returns false if there is none that can run.
    package mutating func redrive(
        id: String, deadline: Instant, now: Instant, _ database: Database
    ) throws -> Bool {
        guard let letter = try DeadLetter.fetch(id: id, database).last else { return false }
        return try redrive(letter, deadline: deadline, now: now, database)
    }

    /// Submits the message anew: a new number, and so a new generation; no attempts; its own deadline if that is still
    /// to come.
    private mutating func redrive(
        _ letter: DeadLetter, deadline: Instant, now: Instant, _ database: Database
    ) throws -> Bool {
        guard letter.isComplete, try !Self.isUnfinished(letter.message.id, database) else { return false }
        try database.cachedStatement(
            sql: """
                INSERT INTO message (id, digest, state, due, token, deadline, created, path, model, headers, metadata,
                    priority, tenant, target, webhook, enqueued)
                SELECT id, digest, 0, 0, 0, ?, created, path, model, headers, metadata, priority, tenant,
                    ifnull(model, ''), webhook, ?
                FROM dead WHERE sequence = ?
                """
        ).execute(arguments: [
            (letter.message.deadline > now ? letter.message.deadline : deadline).nanoseconds, now.nanoseconds,
            letter.sequence,
        ])
        let sequence = database.lastInsertedRowID
        try database.cachedStatement(sql: "UPDATE payload SET sequence = ? WHERE sequence = ?")
            .execute(arguments: [sequence, letter.sequence])
        try database.cachedStatement(sql: "DELETE FROM dead WHERE sequence = ?").execute(arguments: [letter.sequence])
        tally.dead -= 1
        tally.unfinished += 1
        changes.hasReady = true
        return true
    }
}
