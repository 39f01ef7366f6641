package import Basics
package import GRDB
package import MessageQueues

extension MessageStore {
    /// One page of a listing holds this many requests.
    package static let maximumPageCount = 1000
    /// For one page of a listing, this many unfinished and this many finished requests are looked at.
    package static let maximumLook = 10_000

    /// Requests in the order of submission, as `RequestLedger` says; how many are ahead of them is left out.
    package static func requests(
        matching filter: RequestFilter, after cursor: Int64, limit: Int, now: Instant, _ database: Database
    ) throws -> RequestPage {
        let limit = min(limit, maximumPageCount)
        guard limit > 0 else { return RequestPage(views: [], cursor: cursor, lastID: nil, isComplete: false) }
        let listing = Listing(filter, after: cursor)
        let end = try listing.end(database)
        let unfinished = try listing.rows(
            StoredMessage.columns, "message AS m", listing.unfinished, upTo: end, limit: limit, database)
        let finished = try listing.rows(
            FinishedRequest.columns, "result", listing.finished, upTo: end, limit: limit, database)
        let views =
            (unfinished.map { view(StoredMessage($0), now: now, ahead: nil) }
            + finished.map { FinishedRequest($0).view }).sorted { $0.sequence < $1.sequence }
        if views.count >= limit {
            let last = views[limit - 1]
            return RequestPage(
                views: Array(views.prefix(limit)), cursor: last.sequence, lastID: last.id, isComplete: false)
        }
        guard let end else {
            return RequestPage(
                views: views, cursor: views.last?.sequence ?? cursor, lastID: views.last?.id, isComplete: true)
        }
        return RequestPage(
            views: views, cursor: end, lastID: try listing.lastID(upTo: end, database), isComplete: false)
    }
}

/// The conditions of a listing, and how far one page of it looks.
private struct Listing {
    private let filter: RequestFilter
    private let cursor: Int64

    init(_ filter: RequestFilter, after cursor: Int64) {
        self.filter = filter
        self.cursor = cursor
    }

    /// The condition on messages that are not finished; nil if none of them is shown.
    var unfinished: String? {
        switch filter.state {
        case nil: "TRUE"
        case .queued: "state IN (0, 1)"
        case .running: "state = 2"
        default: nil
        }
    }

    /// The condition on results; nil if none of them is shown.
    var finished: String? {
        switch filter.state {
        case nil: "TRUE"
        case .some(let state): FinishedRequest.condition(for: state)
        }
    }

    /// The number up to which one page looks; nil if that is the end of the list.
    func end(_ database: Database) throws -> Int64? {
        // Everybody's requests and those of one tenant are found by index, and so are the few that run.
        guard filter.model != nil || filter.state != nil || filter.tenant == "", filter.state != .running else {
            return nil
        }
        var ends: [Int64] = []
        for (table, condition) in [("message", unfinished), ("result", finished)] where condition != nil {
            let (conditions, arguments) = start(isIndexed: true)
            if let last = try Int64.fetchOne(
                database,
                sql: """
                    SELECT sequence FROM \(table) WHERE \(conditions.joined(separator: " AND "))
                    ORDER BY sequence LIMIT 1 OFFSET \(MessageStore.maximumLook - 1)
                    """, arguments: StatementArguments(arguments))
            {
                ends.append(last)
            }
        }
        return ends.min()
    }

    func rows(
        _ columns: String, _ table: String, _ condition: String?, upTo end: Int64?, limit: Int, _ database: Database
    ) throws -> [Row] {
        guard let condition else { return [] }
        var (conditions, arguments) = start(isIndexed: false)
        if let model = filter.model {
            conditions.append("model = ?")
            arguments.append(model)
        }
        if let end {
            conditions.append("sequence <= ?")
            arguments.append(end)
        }
        conditions.append(condition)
        return try Row.fetchAll(
            database,
            sql: """
                SELECT \(columns) FROM \(table) WHERE \(conditions.joined(separator: " AND "))
                ORDER BY sequence LIMIT \(limit)
                """, arguments: StatementArguments(arguments))
    }

    /// The id of the last request up to a number that is the tenant's.
    func lastID(upTo end: Int64, _ database: Database) throws -> String? {
        var last: (sequence: Int64, id: String)?
        for table in ["message", "result"] {
            let (conditions, arguments) = start(isIndexed: false)
            let row = try Row.fetchOne(
                database,
                sql: """
                    SELECT sequence, id FROM \(table)
                    WHERE \((conditions + ["sequence <= ?"]).joined(separator: " AND "))
                    ORDER BY sequence DESC LIMIT 1
                    """, arguments: StatementArguments(arguments + [end]))
            if let row, row[0] > last?.sequence ?? 0 { last = (row[0], row[1]) }
        }
        return last?.id
    }

    /// Behind the cursor, and of the tenant; with `isIndexed` only if there is an index for that.
    private func start(isIndexed: Bool) -> ([String], [any DatabaseValueConvertible]) {
        guard let tenant = filter.tenant, !(isIndexed && tenant.isEmpty) else { return (["sequence > ?"], [cursor]) }
        // The second half lets SQLite use the index of those that have a tenant.
        return (["sequence > ?", tenant.isEmpty ? "tenant = ?" : "tenant = ? AND tenant <> ''"], [cursor, tenant])
    }
}
