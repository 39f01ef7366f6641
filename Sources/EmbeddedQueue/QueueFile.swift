import Basics
import GRDB
import MessageQueues

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// Opens the database file of a queue and brings its schema up to date.
enum QueueFile {
    /// "Weir" in ASCII, in the header of the file: tells our files from other programs' databases.
    static let applicationID: Int32 = 0x5765_6972

    /// Opens the file, creating it if the settings allow that, and migrates it.
    static func open(
        _ path: String, _ settings: EmbeddedQueue.Configuration
    ) throws(MessageQueueError) -> DatabasePool {
        try checkHeader(path, creates: settings.createsFile)
        do {
            var configuration = Configuration()
            configuration.label = "weir.queue"
            configuration.busyMode = .timeout(settings.busyTimeout.seconds)
            configuration.maximumReaderCount = 2
            configuration.foreignKeysEnabled = false
            configuration.prepareDatabase { database in
                // A file takes notice of this only while it is empty; from then on it can shrink (`sweep`).
                if !database.configuration.readonly, try Int.fetchOne(database, sql: "PRAGMA page_count") == 0 {
                    try database.execute(sql: "PRAGMA auto_vacuum = INCREMENTAL")
                }
                try database.execute(
                    sql: """
                        PRAGMA cache_size = -16384;
                        PRAGMA temp_store = MEMORY;
                        PRAGMA wal_autocheckpoint = 4000;
                        PRAGMA journal_size_limit = 67108864;
                        """)
            }
            let pool = try DatabasePool(path: path, configuration: configuration)
            try pool.writeWithoutTransaction { database in
                try migrate(database, path: path)
                let pageBytes = try Int.fetchOne(database, sql: "PRAGMA page_size") ?? 4096
                let present = try Int.fetchOne(database, sql: "PRAGMA page_count") ?? 0
                let limit = settings.hardLimit(present: present * pageBytes)
                let pages = min(limit / pageBytes, Int(UInt32.max) - 1)
                _ = try Row.fetchAll(database, sql: "PRAGMA max_page_count = \(pages)")
            }
            return pool
        } catch {
            throw MessageQueueError(error, place: path)
        }
    }

    /// Runs in one write transaction, so that of several processes that open a new file one migrates and the rest wait.
    private static func migrate(_ database: Database, path: String) throws {
        try database.inTransaction(.immediate) {
            let found = try Int.fetchOne(database, sql: "PRAGMA user_version") ?? 0
            let owner = try Int32.fetchOne(database, sql: "PRAGMA application_id") ?? 0
            let isEmpty = try Int.fetchOne(database, sql: "SELECT COUNT(*) FROM sqlite_schema") == 0
            guard owner == applicationID || isEmpty else {
                throw MessageQueueError.notAQueue(place: path, detail: "it is the database of another program")
            }
            guard found <= QueueSchema.format else {
                throw MessageQueueError.newerVersion(place: path, found: found, known: QueueSchema.format)
            }
            if found < QueueSchema.format {
                // The consumer of an older version would find tables that it does not know.
                let lock = found > 0 ? try ConsumerLock(queuePath: path) : nil
                try withExtendedLifetime(lock) {
                    try QueueSchema.migrate(database, from: found)
                    try database.execute(sql: "PRAGMA application_id = \(applicationID)")
                }
            }
            return .commit
        }
    }

    /// Looks at the first bytes before SQLite does, so that a file of another kind is left as it is.
    private static func checkHeader(_ path: String, creates: Bool) throws(MessageQueueError) {
        // Prompts are nobody else's business: a new file is readable by its owner only, and SQLite gives its companions
        // the same mode.
        let descriptor = openDescriptor(path, O_RDWR | O_CLOEXEC | (creates ? O_CREAT : 0))
        guard descriptor >= 0 else {
            if errno == ENOENT, !creates { throw .notFound(place: path) }
            throw .unavailable(place: path, detail: String(cString: strerror(errno)))
        }
        defer { close(descriptor) }
        var header = [UInt8](repeating: 0, count: 100)
        let count = read(descriptor, &header, header.count)
        guard count >= 0 else { throw .unavailable(place: path, detail: String(cString: strerror(errno))) }
        if count == 0 { return }
        guard count == header.count, header.starts(with: Array("SQLite format 3\0".utf8)) else {
            throw .notAQueue(place: path, detail: "it is not a database")
        }
        let owner = header[68..<72].reduce(Int32(0)) { $0 << 8 | Int32($1) }
        guard owner == 0 || owner == applicationID else {
            throw .notAQueue(place: path, detail: "it is the database of another program")
        }
    }
}

/// The C library's `open`, out of reach of the method of that name.
private func openDescriptor(_ path: String, _ flags: Int32) -> Int32 { open(path, flags, 0o600) }
