package import Basics
package import GRDB
package import MessageQueues

extension MessageStore {
    /// Notifications whose time has come, up to `limit` and `maximumPageBytes`, or one.
    package static func dueWebhooks(
        limit: Int, now: Instant, _ database: Database
    ) throws -> [PendingWebhook] {
        var pending: [PendingWebhook] = []
        var bytes = 0
        let rows = try Row.fetchCursor(
            database.cachedStatement(
                sql: """
                    SELECT w.number, w.id, w.sequence, w.tenant, w.url, w.tries, w.finished, r.line
                    FROM webhook AS w LEFT JOIN result AS r ON r.sequence = w.sequence
                    WHERE w.due <= ? ORDER BY w.due, w.number LIMIT ?
                    """), arguments: [now.nanoseconds, limit])
        while bytes < maximumPageBytes, let row = try rows.next() {
            let line = Columns.bytes(row, 7)
            bytes += line?.count ?? 0
            pending.append(
                PendingWebhook(
                    number: row[0], id: row[1], generation: String(row[2] as Int64), tenant: row[3], url: row[4],
                    tries: row[5], finished: Instant(nanoseconds: row[6]), line: line))
        }
        return pending
    }

    /// When the next notification is due; nil if there is none.
    package static func nextWebhook(_ database: Database) throws -> Instant? {
        try Int64.fetchOne(database.cachedStatement(sql: "SELECT MIN(due) FROM webhook"))
            .map(Instant.init(nanoseconds:))
    }

    /// Removes a notification.
    package func settleWebhook(_ number: Int64, _ database: Database) throws {
        try database.cachedStatement(sql: "DELETE FROM webhook WHERE number = ?").execute(arguments: [number])
    }

    /// Puts a notification off, after a post in vain or to wait for others.
    package mutating func deferWebhook(
        _ number: Int64, until due: Instant, error: String, countsAsTry: Bool, _ database: Database
    ) throws {
        try database.cachedStatement(
            sql: "UPDATE webhook SET tries = tries + ?, due = ?, last_error = ? WHERE number = ?"
        ).execute(arguments: [countsAsTry ? 1 : 0, due.nanoseconds, error, number])
        changes.hasWebhooks = true
    }
}
