package import GRDB

/// What a transaction adds to the counts in the file, gathered in memory and written once.
struct Tally: Hashable, Sendable {
    var unfinished = 0
    var results = 0
    var resultBytes = 0
    var dead = 0
}

extension MessageStore {
    /// Writes what the transaction adds to the counts; to be called at its end, before it is committed.
    package mutating func writeTally(_ database: Database) throws {
        guard tally != Tally() else { return }
        try database.cachedStatement(
            sql: """
                UPDATE tally SET unfinished = unfinished + ?, results = results + ?, result_bytes = result_bytes + ?,
                    dead = dead + ?
                """
        ).execute(arguments: [tally.unfinished, tally.results, tally.resultBytes, tally.dead])
        tally = Tally()
    }

    /// The size that the consumer lets the file have, in bytes; nil before the first one.
    static func byteLimit(_ database: Database) throws -> Int? {
        try Int.fetchOne(database.cachedStatement(sql: "SELECT byte_limit FROM tally"))
    }
}
