package import GRDB

/// The tables of a queue, and how a file of an earlier format becomes one of the present.
package enum QueueSchema {
    /// The steps from one format to the next; the format of a file is the number of steps taken (`user_version`).
    ///
    /// A step that has been released is never changed, only followed by another.
    package static let steps = [
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
        """,
        """
        ALTER TABLE message ADD COLUMN priority INTEGER NOT NULL DEFAULT 0;
        ALTER TABLE message ADD COLUMN tenant TEXT NOT NULL DEFAULT '';
        ALTER TABLE message ADD COLUMN target TEXT NOT NULL DEFAULT '';
        ALTER TABLE message ADD COLUMN webhook TEXT;
        ALTER TABLE message ADD COLUMN enqueued INTEGER NOT NULL DEFAULT 0;
        ALTER TABLE message ADD COLUMN cancelled INTEGER NOT NULL DEFAULT 0;
        UPDATE message SET target = ifnull(model, ''), enqueued = created;
        DROP INDEX message_ready;
        DROP INDEX message_leased;
        CREATE INDEX message_lane ON message (priority, tenant, target, deadline) WHERE state = 0;
        CREATE INDEX message_deadline ON message (deadline) WHERE state < 2;
        CREATE INDEX message_leased ON message (sequence) WHERE state = 2;
        CREATE INDEX message_cancelled ON message (sequence) WHERE cancelled = 1;
        CREATE INDEX message_tenant ON message (tenant, sequence) WHERE tenant <> '';

        CREATE TABLE finished (
            cursor INTEGER PRIMARY KEY AUTOINCREMENT,
            sequence INTEGER NOT NULL,
            id TEXT NOT NULL,
            digest INTEGER NOT NULL,
            tenant TEXT NOT NULL,
            priority INTEGER NOT NULL,
            path TEXT NOT NULL,
            model TEXT,
            deadline INTEGER NOT NULL,
            created INTEGER NOT NULL,
            enqueued INTEGER NOT NULL,
            finished INTEGER NOT NULL,
            status INTEGER,
            error_code TEXT,
            dispatches INTEGER NOT NULL,
            failures INTEGER NOT NULL,
            sheds INTEGER NOT NULL,
            evictions INTEGER NOT NULL,
            first_dispatched INTEGER,
            last_endpoint TEXT,
            last_error TEXT,
            line BLOB NOT NULL
        );
        -- A finished message's number was not kept; its result gets one that no other message has, in the same order.
        WITH RECURSIVE
            number (value) AS (
                SELECT 1 UNION ALL SELECT value + 1 FROM number
                WHERE value < (SELECT COUNT(*) FROM result) + (SELECT COUNT(*) FROM message)
            ),
            free (value, place) AS (
                SELECT value, row_number() OVER (ORDER BY value) FROM number
                WHERE value NOT IN (SELECT sequence FROM message)
            ),
            old AS (
                SELECT *, row_number() OVER (ORDER BY cursor) AS place,
                    iif(json_valid(CAST(line AS TEXT)), CAST(line AS TEXT), '{}') AS facts
                FROM result
            )
        INSERT INTO finished
        SELECT cursor, free.value, id, digest, '', 0, ifnull(json_extract(facts, '$.path'), ''),
            json_extract(facts, '$.model'), finished,
            ifnull(CAST(round(json_extract(facts, '$.created') * 1000) AS INTEGER) * 1000000, finished),
            ifnull(CAST(round(json_extract(facts, '$.created') * 1000) AS INTEGER) * 1000000, finished),
            finished, status, error_code, ifnull(json_extract(facts, '$.attempts'), 0), 0, 0,
            ifnull(json_extract(facts, '$.evictions'), 0),
            CAST(round(json_extract(facts, '$.first_dispatched') * 1000) AS INTEGER) * 1000000,
            json_extract(facts, '$.endpoint'), NULL, line
        FROM old JOIN free ON free.place = old.place ORDER BY cursor;
        DROP TABLE result;
        ALTER TABLE finished RENAME TO result;
        CREATE UNIQUE INDEX result_id ON result (id, sequence);
        CREATE UNIQUE INDEX result_sequence ON result (sequence);
        CREATE INDEX result_finished ON result (finished);
        CREATE INDEX result_tenant ON result (tenant, sequence) WHERE tenant <> '';

        CREATE TABLE dead (
            sequence INTEGER PRIMARY KEY,
            id TEXT NOT NULL,
            digest INTEGER NOT NULL,
            tenant TEXT NOT NULL,
            priority INTEGER NOT NULL,
            path TEXT NOT NULL,
            model TEXT,
            deadline INTEGER NOT NULL,
            created INTEGER NOT NULL,
            enqueued INTEGER NOT NULL,
            headers BLOB,
            metadata BLOB,
            webhook TEXT,
            died INTEGER NOT NULL,
            error_code TEXT,
            reason TEXT,
            dispatches INTEGER NOT NULL,
            failures INTEGER NOT NULL,
            sheds INTEGER NOT NULL,
            evictions INTEGER NOT NULL,
            first_dispatched INTEGER,
            last_status INTEGER,
            last_endpoint TEXT,
            last_error TEXT
        );
        CREATE INDEX dead_id ON dead (id, sequence);
        CREATE INDEX dead_died ON dead (died);

        CREATE TABLE webhook (
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            sequence INTEGER NOT NULL,
            id TEXT NOT NULL,
            tenant TEXT NOT NULL,
            url TEXT NOT NULL,
            finished INTEGER NOT NULL,
            due INTEGER NOT NULL,
            tries INTEGER NOT NULL DEFAULT 0,
            last_error TEXT
        );
        CREATE INDEX webhook_due ON webhook (due);

        -- Counting rows one by one would take longer every day.
        -- `queue` is the name that the last consumer knew the queue by, for the results that other processes make;
        -- `byte_limit` is the size that it lets the file have, which binds those who enqueue.
        CREATE TABLE tally (
            one INTEGER PRIMARY KEY,
            unfinished INTEGER,
            results INTEGER,
            result_bytes INTEGER,
            dead INTEGER,
            queue TEXT,
            byte_limit INTEGER
        );
        INSERT INTO tally
        SELECT 1, (SELECT COUNT(*) FROM message), COUNT(*), ifnull(SUM(length(line)), 0), 0, NULL, NULL FROM result;
        """,
    ]

    /// The format that this program writes.
    package static var format: Int { steps.count }

    /// Brings a database from a format, 0 for an empty one, to the present one. Runs in the caller's transaction.
    package static func migrate(_ database: Database, from found: Int = 0) throws {
        guard found < format else { return }
        for step in steps[found...] { try database.execute(sql: step) }
        try database.execute(sql: "PRAGMA user_version = \(format)")
    }
}
