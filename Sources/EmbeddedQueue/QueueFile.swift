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

    /// The steps from one format to the next; the format of a file is the number of steps taken (`user_version`).
    ///
    /// A step that has been released is never changed, only followed by another.
    private static let migrations = [
        """
        CREATE TABLE message (
            sequence INTEGER PRIMARY KEY AUTOINCREMENT,
            id TEXT NOT NULL UNIQUE,
            digest INTEGER NOT NULL,
            state INTEGER NOT NULL,
            due INTEGER NOT NULL,
            token INTEGER NOT NULL,
            deadline INTEGER NOT NULL,
            created INTEGER NOT NULL,
            path TEXT NOT NULL,
            model TEXT,
            headers BLOB,
            metadata BLOB,
            dispatches INTEGER NOT NULL DEFAULT 0,
            failures INTEGER NOT NULL DEFAULT 0,
            sheds INTEGER NOT NULL DEFAULT 0,
            evictions INTEGER NOT NULL DEFAULT 0,
            first_dispatched INTEGER,
            last_status INTEGER,
            last_endpoint TEXT,
            last_error TEXT
        );
        CREATE INDEX message_ready ON message (deadline, sequence) WHERE state = 0;
        CREATE INDEX message_delayed ON message (due) WHERE state = 1;
        CREATE INDEX message_leased ON message (due) WHERE state = 2;
        CREATE TABLE payload (sequence INTEGER PRIMARY KEY, body BLOB NOT NULL);
        CREATE TABLE result (
            cursor INTEGER PRIMARY KEY AUTOINCREMENT,
            id TEXT NOT NULL UNIQUE,
            digest INTEGER NOT NULL,
            status INTEGER,
            error_code TEXT,
            finished INTEGER NOT NULL,
            line BLOB NOT NULL
        );
        """
    ]

    /// The format that this program writes.
    static var format: Int { migrations.count }

    /// Opens the file, creating it if `creates`, and migrates it.
    static func open(_ path: String, creates: Bool, busyTimeout: TimeSpan) throws(MessageQueueError) -> DatabasePool {
        try checkHeader(path, creates: creates)
        do {
            var configuration = Configuration()
            configuration.label = "weir.queue"
            configuration.busyMode = .timeout(busyTimeout.seconds)
            configuration.maximumReaderCount = 2
            configuration.foreignKeysEnabled = false
            configuration.prepareDatabase { database in
                try database.execute(
                    sql: """
                        PRAGMA cache_size = -16384;
                        PRAGMA temp_store = MEMORY;
                        PRAGMA wal_autocheckpoint = 4000;
                        PRAGMA journal_size_limit = 67108864;
                        """)
            }
            let pool = try DatabasePool(path: path, configuration: configuration)
            try pool.writeWithoutTransaction { database in try migrate(database, path: path) }
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
            guard found <= format else {
                throw MessageQueueError.newerVersion(place: path, found: found, known: format)
            }
            if found < format {
                for step in migrations[found...] { try database.execute(sql: step) }
                try database.execute(
                    sql: "PRAGMA user_version = \(format); PRAGMA application_id = \(applicationID)")
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

extension MessageQueueError {
    /// Translates what SQLite reports into what it means for the queue at `place`.
    init(_ error: any Error, place: String) {
        switch error {
        case let error as MessageQueueError: self = error
        case let error as DatabaseError:
            let detail = error.message ?? error.resultCode.description
            switch error.resultCode {
            case .SQLITE_NOTADB: self = .notAQueue(place: place, detail: "it is not a database")
            case .SQLITE_CORRUPT: self = .damaged(place: place, detail: detail)
            case .SQLITE_BUSY, .SQLITE_LOCKED: self = .locked(place: place)
            case .SQLITE_FULL: self = .full(place: place, detail: "no space left on the disk")
            case .SQLITE_MISUSE: self = .closed
            default: self = .unavailable(place: place, detail: detail)
            }
        default: self = .unavailable(place: place, detail: "\(error)")
        }
    }
}
