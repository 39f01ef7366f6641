package import Basics
import Delivery
package import GRDB
package import MessageQueues

/// What can be read; these change nothing.
extension MessageStore {
    /// One page of results holds this many bytes of lines, or one result.
    package static let maximumPageBytes = 16 << 20

    /// The request with this id, as `RequestLedger` says.
    package static func request(
        _ id: String, tenant: String?, now: Instant, _ database: Database
    ) throws -> RequestView? {
        if let stored = try StoredMessage.fetch(id: id, database) {
            guard tenant == nil || tenant == stored.message.tenant else { return nil }
            return view(stored, now: now, ahead: try ahead(of: stored, now: now, database))
        }
        return try FinishedRequest.fetch(id: id, generation: nil, tenant: tenant, database)?.view
    }

    static func view(_ stored: StoredMessage, now: Instant, ahead: Int?) -> RequestView {
        let message = stored.message
        let isDelayed = stored.state == StoredMessage.State.delayed && stored.due > now
        return RequestView(
            sequence: stored.sequence, id: message.id, generation: stored.generation, tenant: message.tenant,
            state: stored.state == StoredMessage.State.leased ? .running : .queued, path: message.path,
            model: message.model, priority: message.priority, created: message.created, enqueued: stored.enqueued,
            deadline: message.deadline, finished: nil, nextAttempt: isDelayed ? stored.due : nil,
            attempts: stored.attempts, ahead: ahead, statusCode: stored.attempts.lastStatusCode, errorCode: nil)
    }

    /// How many ready messages of its class have an earlier deadline, up to a limit; nil if it is not free to be taken.
    private static func ahead(of stored: StoredMessage, now: Instant, _ database: Database) throws -> Int? {
        guard stored.state != StoredMessage.State.leased, stored.state == StoredMessage.State.ready || stored.due <= now
        else { return nil }
        let priority = stored.message.priority
        var ahead = 0
        let lanes = try lanes(of: priority, from: Lane(tenant: "", target: ""), limit: maximumLanes, database)
        for lane in lanes where ahead < RequestView.aheadLimit {
            ahead +=
                try Int.fetchOne(
                    database.cachedStatement(
                        sql: """
                            SELECT COUNT(*) FROM (
                                SELECT 1 FROM message INDEXED BY message_lane
                                WHERE state = 0 AND priority = ? AND tenant = ? AND target = ?
                                    AND (deadline, sequence) < (?, ?) LIMIT ?)
                            """),
                    arguments: [
                        priority, lane.tenant, lane.target, stored.message.deadline.nanoseconds, stored.sequence,
                        RequestView.aheadLimit - ahead,
                    ]) ?? 0
        }
        return ahead
    }

    /// The result of a request; nil while it runs, even if an earlier use of its id has one.
    package static func result(of id: String, tenant: String?, _ database: Database) throws -> StoredResult? {
        guard
            let row = try Row.fetchOne(
                database.cachedStatement(
                    sql: """
                        SELECT cursor, id, status, error_code, line, tenant FROM result
                        WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM message WHERE id = ?1)
                        ORDER BY sequence DESC LIMIT 1
                        """), arguments: [id]), tenant == nil || tenant == row[5]
        else { return nil }
        return storedResult(row)
    }

    /// Results behind a cursor, up to `limit` and `maximumPageBytes`.
    package static func results(after cursor: Int64, limit: Int, _ database: Database) throws -> [StoredResult] {
        var results: [StoredResult] = []
        var bytes = 0
        let rows = try Row.fetchCursor(
            database.cachedStatement(
                sql: "SELECT cursor, id, status, error_code, line FROM result WHERE cursor > ? ORDER BY cursor LIMIT ?"),
            arguments: [cursor, limit])
        while bytes < maximumPageBytes, let row = try rows.next() {
            let result = storedResult(row)
            bytes += result.line.count
            results.append(result)
        }
        return results
    }

    private static func storedResult(_ row: Row) -> StoredResult {
        StoredResult(
            cursor: row[0], id: row[1], statusCode: row[2], errorCode: row[3], line: Columns.bytes(row, 4) ?? [])
    }

    /// Whether there is a result behind a cursor.
    package static func hasResult(after cursor: Int64, _ database: Database) throws -> Bool {
        try lastCursor(database) > cursor
    }

    /// The place of the newest result; 0 if there is none.
    static func lastCursor(_ database: Database) throws -> Int64 {
        try Int64.fetchOne(database.cachedStatement(sql: "SELECT MAX(cursor) FROM result")) ?? 0
    }

    /// The results behind a cursor by name: for those who wait for one of them.
    static func finished(
        after cursor: Int64, limit: Int, _ database: Database
    ) throws -> [MessageStore.Changes.Finished] {
        try Row.fetchCursor(
            database.cachedStatement(
                sql: "SELECT cursor, id FROM result WHERE cursor > ? ORDER BY cursor LIMIT ?"),
            arguments: [cursor, limit]
        ).reduce(into: []) { $0.append(Changes.Finished(id: $1[1], cursor: $1[0])) }
    }

    static func isUnfinished(_ id: String, _ database: Database) throws -> Bool {
        try Int.fetchOne(
            database.cachedStatement(sql: "SELECT 1 FROM message WHERE id = ?"), arguments: [id]) != nil
    }

    /// How full the queue is. Only what is leased or delayed is counted one by one: the rest can be a million.
    package static func depth(now: Instant, _ database: Database) throws -> QueueDepth {
        func count(_ condition: String, _ arguments: StatementArguments = []) throws -> Int {
            try Int.fetchOne(
                database.cachedStatement(sql: "SELECT COUNT(*) FROM message WHERE \(condition)"), arguments: arguments)
                ?? 0
        }
        var depth = QueueDepth()
        depth.delayed = try count("state = 1 AND due > ?", [now.nanoseconds])
        depth.leased = try count("state = 2")
        if let tally = try Row.fetchOne(
            database.cachedStatement(sql: "SELECT unfinished, results, dead FROM tally"))
        {
            depth.ready = (tally[0] as Int) - depth.delayed - depth.leased
            depth.results = tally[1]
            depth.deadLetters = tally[2]
        }
        depth.earliestDeadline = try Int64.fetchOne(
            database.cachedStatement(sql: "SELECT MIN(deadline) FROM message WHERE state < 2")
        ).map(Instant.init(nanoseconds:))
        return depth
    }

    /// Everything that is known of a request or a dead letter with this id.
    package static func peek(_ id: String, now: Instant, _ database: Database) throws -> RequestDetail? {
        guard let view = try request(id, tenant: nil, now: now, database) else { return nil }
        let stored = try StoredMessage.fetch(id: id, database)?.message ?? DeadLetter.fetchMessage(id: id, database)
        let payload = try Row.fetchOne(
            database.cachedStatement(sql: "SELECT body FROM payload WHERE sequence = ?"), arguments: [view.sequence]
        ).flatMap { Columns.bytes($0, 0) }
        return RequestDetail(
            view: view, headers: stored?.headers ?? [:], metadata: stored?.metadata ?? [:], webhook: stored?.webhook,
            payload: payload, result: try result(of: id, tenant: nil, database)?.line)
    }

    /// Messages that are not finished, as lines that can be submitted; up to `limit` and `maximumPageBytes`.
    package static func export(
        after sequence: Int64, limit: Int, _ database: Database
    ) throws -> [ExportedMessage] {
        var exported: [ExportedMessage] = []
        var bytes = 0
        let rows = try Row.fetchCursor(
            database.cachedStatement(
                sql: """
                    SELECT \(StoredMessage.columns), p.body
                    FROM message AS m LEFT JOIN payload AS p ON p.sequence = m.sequence
                    WHERE m.sequence > ? ORDER BY m.sequence LIMIT ?
                    """), arguments: [sequence, limit])
        while bytes < maximumPageBytes, let row = try rows.next() {
            var stored = StoredMessage(row)
            let body = Columns.bytes(row, StoredMessage.columnCount)
            stored.message.payload = body ?? []
            let line = stored.isReadable && body != nil ? MessageCodec.encode(stored.message) : nil
            bytes += line?.count ?? 0
            exported.append(ExportedMessage(sequence: stored.sequence, id: stored.message.id, line: line))
        }
        return exported
    }
}
