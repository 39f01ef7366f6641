package import Basics
package import Delivery
package import GRDB

/// How long what is finished is kept.
package struct Retention: Hashable, Sendable {
    /// Results; nil keeps them.
    package var results: TimeSpan?
    /// Dead letters; nil keeps them.
    package var deadLetters: TimeSpan?
    /// Lines of results that are kept, in bytes; the oldest go first. Nil sets no limit.
    package var maximumResultBytes: Int?

    /// Keeps everything.
    package init(results: TimeSpan? = nil, deadLetters: TimeSpan? = nil, maximumResultBytes: Int? = nil) {
        self.results = results
        self.deadLetters = deadLetters
        self.maximumResultBytes = maximumResultBytes
    }
}

extension MessageStore {
    /// Rows removed in one transaction: what others wait for it stays in the milliseconds.
    package static let removalChunk = 250
    /// Free pages that are left in the file for what comes next.
    private static let sparePages = 256
    /// Pages given back to the file system in one transaction.
    private static let vacuumChunk = 1000

    /// For so long after a jump of the calendar nothing is removed by its date: whoever set it wrong has time to notice.
    package static let sweepPause = TimeSpan.seconds(3600)

    /// Removes some of what has been kept long enough; zero when nothing is left to remove.
    package mutating func sweep(_ retention: Retention, time: DeliveryTime, _ database: Database) throws -> PurgeCount {
        try observe(time, database)
        var count = PurgeCount()
        if let limit = retention.maximumResultBytes {
            count.results += try removeOldestResults(downTo: limit, database)
        }
        if let lastJump, time.steady < lastJump + Self.sweepPause { return count }
        let now = time.wall
        if let age = retention.results {
            count += try purge(.results(finishedBefore: now - age), database)
        }
        if let age = retention.deadLetters {
            count.deadLetters += try removeDead(
                "SELECT sequence FROM dead WHERE died < ? ORDER BY died LIMIT ?",
                [(now - age).nanoseconds, Self.removalChunk], database)
        }
        return count
    }

    /// Removes some of a selection; zero when nothing is left to remove.
    package mutating func purge(_ selection: PurgeSelection, _ database: Database) throws -> PurgeCount {
        var count = PurgeCount()
        switch selection {
        case .results(let limit):
            count.results = try removeResults(
                "SELECT cursor FROM result WHERE finished < ? ORDER BY finished LIMIT ?",
                [limit.nanoseconds, Self.removalChunk], database)
        case .ids(let ids):
            for id in ids {
                count.results += try removeResults("SELECT cursor FROM result WHERE id = ?", [id], database)
                count.deadLetters += try removeDead("SELECT sequence FROM dead WHERE id = ?", [id], database)
            }
        case .deadLetters:
            count.deadLetters = try removeDead(
                "SELECT sequence FROM dead ORDER BY sequence LIMIT ?", [Self.removalChunk], database)
        case .finished:
            count.results = try removeResults(
                "SELECT cursor FROM result ORDER BY cursor LIMIT ?", [Self.removalChunk], database)
            count += try purge(.deadLetters, database)
        }
        return count
    }

    /// Gives free pages back to the file system, if there are more than some; returns whether there are still.
    package static func shrink(_ database: Database) throws -> Bool {
        // A file from before this was thought of cannot shrink; its free pages are used again.
        guard try Int.fetchOne(database, sql: "PRAGMA auto_vacuum") == 2 else { return false }
        let free = try Int.fetchOne(database, sql: "PRAGMA freelist_count") ?? 0
        guard free > sparePages else { return false }
        let pages = min(free - sparePages, vacuumChunk)
        _ = try Row.fetchAll(database, sql: "PRAGMA incremental_vacuum(\(pages))")
        return free - pages > sparePages
    }

    private mutating func removeOldestResults(downTo limit: Int, _ database: Database) throws -> Int {
        var excess =
            (try Int.fetchOne(database, sql: "SELECT result_bytes FROM tally") ?? 0) + tally.resultBytes - limit
        guard excess > 0 else { return 0 }
        var last: Int64 = 0
        let rows = try Row.fetchCursor(
            database, sql: "SELECT cursor, length(line) FROM result ORDER BY cursor LIMIT ?",
            arguments: [Self.removalChunk])
        while excess > 0, let row = try rows.next() {
            last = row[0]
            excess -= row[1] as Int
        }
        return try removeResults("SELECT cursor FROM result WHERE cursor <= ?", [last], database)
    }

    private mutating func removeResults(
        _ selection: String, _ arguments: StatementArguments, _ database: Database
    ) throws -> Int {
        let cursors = try Int64.fetchAll(database, sql: selection, arguments: arguments)
        let length = try database.cachedStatement(sql: "SELECT length(line) FROM result WHERE cursor = ?")
        let delete = try database.cachedStatement(sql: "DELETE FROM result WHERE cursor = ?")
        var bytes = 0
        for cursor in cursors {
            bytes += try Int.fetchOne(length, arguments: [cursor]) ?? 0
            try delete.execute(arguments: [cursor])
        }
        tally.results -= cursors.count
        tally.resultBytes -= bytes
        return cursors.count
    }

    private mutating func removeDead(
        _ selection: String, _ arguments: StatementArguments, _ database: Database
    ) throws -> Int {
        let sequences = try Int64.fetchAll(database, sql: selection, arguments: arguments)
        for sequence in sequences {
            try database.cachedStatement(sql: "DELETE FROM payload WHERE sequence = ?").execute(arguments: [sequence])
            try database.cachedStatement(sql: "DELETE FROM dead WHERE sequence = ?").execute(arguments: [sequence])
        }
        tally.dead -= sequences.count
        return sequences.count
    }
}
