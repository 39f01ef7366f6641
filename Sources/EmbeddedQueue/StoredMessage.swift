import Basics
import Delivery
import GRDB
import MessageQueues

import struct Foundation.Data

/// The row of a message that is not finished, without its payload.
struct StoredMessage {
    /// The `state` of a message. While delayed, `due` says until when; while leased, since when.
    ///
    /// Statements that look for a state name it literally: SQLite uses a partial index only for what it can see to be in it.
    enum State {
        static let ready = 0
        static let delayed = 1
        static let leased = 2
    }

    /// The columns that `init(_:)` reads, in its order; those with a prefix for use in a join.
    static let columns = """
        m.sequence, m.id, m.state, m.due, m.cancelled, m.deadline, m.created, m.enqueued, m.path, m.model, m.tenant,
        m.priority, m.webhook, m.dispatches, m.failures, m.sheds, m.evictions, m.first_dispatched, m.last_status,
        m.last_endpoint, m.last_error, m.headers, m.metadata
        """
    /// How many columns those are: the column of a join that follows them.
    static let columnCount = 23

    let sequence: Int64
    let state: Int
    let due: Instant
    let isCancelled: Bool
    let enqueued: Instant
    let attempts: AttemptRecord
    /// The message with an empty payload.
    var message: InferenceMessage
    /// Whether headers and metadata could be read.
    let isReadable: Bool

    init(_ row: Row) {
        let headers = Columns.map(row, 21)
        let metadata = Columns.map(row, 22)
        sequence = row[0]
        state = row[2]
        due = Instant(nanoseconds: row[3])
        isCancelled = row[4]
        enqueued = Instant(nanoseconds: row[7])
        attempts = Columns.attempts(row, from: 13)
        isReadable = headers != nil && metadata != nil
        message = InferenceMessage(
            id: row[1], created: Instant(nanoseconds: row[6]), deadline: Instant(nanoseconds: row[5]), path: row[8],
            payload: [], model: row[9], headers: headers ?? [:], metadata: metadata ?? [:], tenant: row[10],
            priority: row[11], webhook: row[12])
    }

    /// Which use of its id this is.
    var generation: String { String(sequence) }

    /// The message in the hands of the holder of a lease.
    func leased(token: Int64) -> LeasedMessage {
        LeasedMessage(
            lease: Lease(sequence: sequence, token: token), message: message, attempts: attempts,
            generation: generation, enqueued: enqueued)
    }

    static func fetch(_ sequence: Int64, _ database: Database) throws -> StoredMessage? {
        try Row.fetchOne(
            database.cachedStatement(sql: "SELECT \(columns) FROM message AS m WHERE m.sequence = ?"),
            arguments: [sequence]
        ).map(StoredMessage.init)
    }

    /// The message with its payload, and whether all of it could be read.
    static func fetchWithPayload(
        _ sequence: Int64, _ database: Database
    ) throws -> (message: StoredMessage, isReadable: Bool)? {
        // A cursor gives the row in place, where a fetched row would be a copy, payload included.
        let rows = try Row.fetchCursor(
            database.cachedStatement(
                sql: """
                    SELECT \(columns), p.body FROM message AS m LEFT JOIN payload AS p ON p.sequence = m.sequence
                    WHERE m.sequence = ?
                    """), arguments: [sequence])
        guard let row = try rows.next() else { return nil }
        var stored = StoredMessage(row)
        let body = Columns.bytes(row, columnCount)
        stored.message.payload = body ?? []
        // Steps to the end, which sets the statement free.
        _ = try rows.next()
        return (stored, stored.isReadable && body != nil)
    }

    static func fetch(id: String, _ database: Database) throws -> StoredMessage? {
        try Row.fetchOne(
            database.cachedStatement(sql: "SELECT \(columns) FROM message AS m WHERE m.id = ?"), arguments: [id]
        ).map(StoredMessage.init)
    }
}

/// Values as they lie in columns.
enum Columns {
    /// The eight columns of an attempt record, from `dispatches` to `last_error`.
    static func attempts(_ row: Row, from column: Int) -> AttemptRecord {
        var attempts = AttemptRecord()
        attempts.dispatches = row[column]
        attempts.failures = row[column + 1]
        attempts.sheds = row[column + 2]
        attempts.evictions = row[column + 3]
        attempts.firstDispatched = instant(row, column + 4)
        attempts.lastStatusCode = row[column + 5]
        attempts.lastEndpoint = row[column + 6]
        attempts.lastError = row[column + 7]
        return attempts
    }

    static func instant(_ row: Row, _ column: Int) -> Instant? {
        (row[column] as Int64?).map(Instant.init(nanoseconds:))
    }

    static func blob(_ map: [String: String]) -> Data? {
        map.isEmpty ? nil : Data(MessageCodec.encodeMap(map))
    }

    /// The map in a column; nil if it is not readable.
    static func map(_ row: Row, _ column: Int) -> [String: String]? {
        guard let bytes = bytes(row, column) else { return [:] }
        return MessageCodec.decodeMap(bytes)
    }

    static func bytes(_ row: Row, _ column: Int) -> [UInt8]? {
        try? row.withUnsafeData(atIndex: column) { data in data.map { [UInt8]($0) } }
    }
}
