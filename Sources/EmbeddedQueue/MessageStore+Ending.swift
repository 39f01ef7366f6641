package import Basics
package import Delivery
package import GRDB
package import MessageQueues

import struct Foundation.Data

extension MessageStore {
    /// Messages whose delay ends in one transaction; the rest follow in the next.
    package static let endingChunk = 2000

    /// Takes over the queue: what was leased is ready again, or cancelled if that had been asked for.
    ///
    /// `byteLimit` is the size that the file may have from now on, whoever enqueues; nil sets none.
    package mutating func recover(_ time: DeliveryTime, byteLimit: Int? = nil, _ database: Database) throws {
        try observe(time, database)
        try database.execute(
            sql: """
                UPDATE tally SET queue = ?, byte_limit = ?, unfinished = (SELECT COUNT(*) FROM message)
                """, arguments: [name, byteLimit])
        let flagged = try Int64.fetchAll(
            database, sql: "SELECT sequence FROM message WHERE cancelled = 1 ORDER BY sequence")
        for sequence in flagged { try finishCancelled(sequence, now: time.wall, database) }
        try database.execute(sql: "UPDATE message SET state = 0, token = 0 WHERE state = 2")
        changes.hasReady = true
    }

    /// What has to be done from time to time: delays and leases that have ended, a corrected clock.
    package mutating func tick(_ time: DeliveryTime, _ database: Database) throws {
        try observe(time, database)
        try endOverdue(time, database)
    }

    /// Makes messages ready whose delay or lease has ended; of very many delays the first ones. The others are still due
    /// (`timeUntilReady` says so at once), and the signal makes whoever waits come back for them.
    mutating func endOverdue(_ time: DeliveryTime, _ database: Database) throws {
        try database.cachedStatement(
            sql: """
                UPDATE message SET state = 0, token = 0 WHERE sequence IN (
                    SELECT sequence FROM message WHERE state = 1 AND due <= ? ORDER BY due LIMIT ?)
                """
        ).execute(arguments: [time.wall.nanoseconds, Self.endingChunk])
        if database.changesCount > 0 { changes.hasReady = true }
        for sequence in leases.removeOverdue(now: time.steady) {
            let isCancelled = try Bool.fetchOne(
                database.cachedStatement(sql: "SELECT cancelled FROM message WHERE sequence = ?"),
                arguments: [sequence])
            if isCancelled == true {
                try finishCancelled(sequence, now: time.wall, database)
            } else {
                try database.cachedStatement(
                    sql: "UPDATE message SET state = 0, token = 0 WHERE sequence = ? AND state = 2"
                ).execute(arguments: [sequence])
                changes.hasReady = true
            }
        }
    }

    /// Gives a message back; cancelled ones end instead. Returns false if the lease is lost.
    package mutating func release(
        _ lease: Lease, attempts: AttemptRecord, readyAt: Instant, time: DeliveryTime, _ database: Database
    ) throws -> Bool {
        guard leases.holds(lease) else { return false }
        try observe(time, database)
        leases.remove(lease.sequence)
        try database.cachedStatement(
            sql: """
                UPDATE message SET state = ?, due = ?, token = 0, dispatches = ?, failures = ?, sheds = ?, evictions = ?,
                    first_dispatched = ?, last_status = ?, last_endpoint = ?, last_error = ?
                WHERE sequence = ? AND token = ? AND state = 2
                """
        ).execute(arguments: [
            readyAt <= time.wall ? StoredMessage.State.ready : StoredMessage.State.delayed, readyAt.nanoseconds,
            attempts.dispatches, attempts.failures, attempts.sheds, attempts.evictions,
            attempts.firstDispatched?.nanoseconds, attempts.lastStatusCode, attempts.lastEndpoint, attempts.lastError,
            lease.sequence, lease.token,
        ])
        guard database.changesCount > 0 else { return false }
        let isCancelled = try Bool.fetchOne(
            database.cachedStatement(sql: "SELECT cancelled FROM message WHERE sequence = ?"),
            arguments: [lease.sequence])
        if isCancelled == true { try finishCancelled(lease.sequence, now: time.wall, database) }
        changes.hasReady = true
        return true
    }

    /// Puts a result in the place of its message; returns false if the lease is lost. `line` is the encoded result.
    ///
    /// A message that was to be cancelled keeps a real answer: it had been given before anybody could be stopped.
    package mutating func complete(
        _ lease: Lease, with result: InferenceResult, line: [UInt8], _ database: Database
    ) throws -> Bool {
        guard let hasWebhook = leases.hasWebhook(lease) else { return false }
        leases.remove(lease.sequence)
        return try finish(lease.sequence, with: result, line: line, hasWebhook: hasWebhook, database)
    }

    /// Cancels a request, as `RequestLedger` says.
    package mutating func cancel(
        _ id: String, tenant: String?, generation: String?, now: Instant, _ database: Database
    ) throws -> CancelReceipt {
        if let stored = try StoredMessage.fetch(id: id, database),
            tenant == nil || tenant == stored.message.tenant,
            generation == nil || generation == stored.generation
        {
            guard stored.state == StoredMessage.State.leased else {
                try finishCancelled(stored.sequence, now: now, database)
                return .cancelled
            }
            try database.execute(
                sql: "UPDATE message SET cancelled = 1 WHERE sequence = ?", arguments: [stored.sequence])
            changes.hasCancellations = true
            return .cancelling
        }
        let finished = try FinishedRequest.fetch(id: id, generation: generation, tenant: tenant, database)
        return finished == nil ? .unknown : .alreadyFinished
    }

    /// The leases of messages to be cancelled that have not been told yet.
    package mutating func takeCancellations(_ database: Database) throws -> [Lease] {
        let flagged = try Int64.fetchAll(
            database.cachedStatement(sql: "SELECT sequence FROM message WHERE cancelled = 1 ORDER BY sequence"))
        return flagged.compactMap { leases.reportCancellation(of: $0) }
    }

    private mutating func finishCancelled(_ sequence: Int64, now: Instant, _ database: Database) throws {
        guard let stored = try StoredMessage.fetch(sequence, database) else { return }
        try finish(stored, as: .cancelled, "the request was cancelled", now: now, database)
    }

    mutating func finishUnreadable(_ stored: StoredMessage, now: Instant, _ database: Database) throws {
        try finish(
            stored, as: .payloadUnavailable, "the stored request can no longer be read", isDeadLetter: true, now: now,
            database)
    }

    private mutating func finish(
        _ stored: StoredMessage, as code: DeliveryErrorCode, _ reason: String, isDeadLetter: Bool = false,
        now: Instant, _ database: Database
    ) throws {
        var result = InferenceResult(
            for: stored.leased(token: 0), queue: name, attempts: stored.attempts, finished: now)
        result.errorCode = code
        result.errorMessage = reason
        result.isDeadLetter = isDeadLetter
        let isFinished = try finish(
            stored.sequence, with: result, line: ResultCodec.encode(result),
            hasWebhook: stored.message.webhook != nil, database)
        if isFinished { changes.ownResults.note(code) }
    }

    /// Returns false if there is no such message.
    private mutating func finish(
        _ sequence: Int64, with result: InferenceResult, line: [UInt8], hasWebhook: Bool, _ database: Database
    ) throws -> Bool {
        if result.isDeadLetter {
            try bury(sequence, with: result, database)
        } else {
            // This comes first: on a full file its pages are what the result is written to.
            try database.cachedStatement(sql: "DELETE FROM payload WHERE sequence = ?").execute(arguments: [sequence])
        }
        let attempts = result.attempts
        try database.cachedStatement(
            sql: """
                INSERT INTO result (sequence, id, digest, tenant, priority, path, model, deadline, created, enqueued,
                    finished, status, error_code, dispatches, failures, sheds, evictions, first_dispatched,
                    last_endpoint, last_error, line)
                SELECT sequence, id, digest, tenant, priority, path, model, deadline, created, enqueued,
                    ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?
                FROM message WHERE sequence = ?
                """
        ).execute(arguments: [
            result.finished.nanoseconds, result.statusCode, result.errorCode?.rawValue, attempts.dispatches,
            attempts.failures, attempts.sheds, attempts.evictions, attempts.firstDispatched?.nanoseconds,
            result.endpoint, attempts.lastError, Data(line), sequence,
        ])
        guard database.changesCount > 0 else { return false }
        let cursor = database.lastInsertedRowID
        if hasWebhook {
            try database.cachedStatement(
                sql: """
                    INSERT INTO webhook (sequence, id, tenant, url, finished, due)
                    SELECT sequence, id, tenant, webhook, ?, ? FROM message WHERE sequence = ?
                    """
            ).execute(arguments: [result.finished.nanoseconds, result.finished.nanoseconds, sequence])
            changes.hasWebhooks = true
        }
        try database.cachedStatement(sql: "DELETE FROM message WHERE sequence = ?").execute(arguments: [sequence])
        tally.unfinished -= 1
        tally.results += 1
        tally.resultBytes += line.count
        tally.dead += result.isDeadLetter ? 1 : 0
        leases.remove(sequence)
        changes.finished.append(Changes.Finished(id: result.id, cursor: cursor))
        return true
    }

    /// Keeps the message as a dead letter; its payload stays where it is.
    private func bury(_ sequence: Int64, with result: InferenceResult, _ database: Database) throws {
        let attempts = result.attempts
        try database.execute(
            sql: """
                INSERT INTO dead
                SELECT sequence, id, digest, tenant, priority, path, model, deadline, created, enqueued, headers,
                    metadata, webhook, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?
                FROM message WHERE sequence = ?
                """,
            arguments: [
                result.finished.nanoseconds, result.errorCode?.rawValue, result.errorMessage, attempts.dispatches,
                attempts.failures, attempts.sheds, attempts.evictions, attempts.firstDispatched?.nanoseconds,
                result.statusCode, result.endpoint, attempts.lastError, sequence,
            ])
    }
}
