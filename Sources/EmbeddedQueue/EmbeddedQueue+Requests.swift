public import Basics
public import MessageQueues
import Synchronization

extension EmbeddedQueue: RequestLedger {
    /// The request with this id, as `RequestLedger` says.
    public func request(_ id: String, tenant: String?) async throws -> RequestView? {
        let clock = configuration.clock
        return try await reading { database in
            try MessageStore.request(id, tenant: tenant, now: clock.now(), database)
        }
    }

    /// The result of a request, as `RequestLedger` says; nil while the request runs again.
    public func result(of id: String, tenant: String?) async throws -> StoredResult? {
        try await reading { database in try MessageStore.result(of: id, tenant: tenant, database) }
    }

    /// Lists requests, as `RequestLedger` says: up to 1,000 at a time, without counting how many are ahead of them.
    ///
    /// Tenants are found by index; a filter by model or state reads past what does not fit, up to 10,000 in one call.
    public func requests(
        matching filter: RequestFilter, after cursor: Int64, limit: Int
    ) async throws -> RequestPage {
        let clock = configuration.clock
        return try await reading { database in
            try MessageStore.requests(
                matching: filter, after: cursor, limit: limit, now: clock.now(), database)
        }
    }

    /// Cancels a request, as `RequestLedger` says; from any process.
    public func cancel(_ id: String, tenant: String?, generation: String?) async throws -> CancelReceipt {
        let clock = configuration.clock
        return try await writer.perform(isDurable: true) { store, database in
            try store.cancel(id, tenant: tenant, generation: generation, now: clock.now(), database)
        }
    }

    /// Results that the queue itself has made in this process: no consumer counts them.
    public var ownResults: OwnResults { signals.ownResults.withLock { $0 } }

    /// Suspends until a request has its result, as `RequestLedger` says. Ten thousand may wait at a time.
    public func waitForResult(of id: String) async throws {
        do {
            try await translated { try await signals.waiters.wait(for: id) }
        } catch is CancellationError {
            return
        }
    }
}

extension EmbeddedQueue: WebhookOutbox {
    /// Notifications whose time has come, as `WebhookOutbox` says; up to 16 MiB of results at a time.
    public func dueWebhooks(limit: Int) async throws -> [PendingWebhook] {
        let clock = configuration.clock
        return try await reading { database in
            try MessageStore.dueWebhooks(limit: limit, now: clock.now(), database)
        }
    }

    /// Suspends until a notification may be due, or the task is cancelled.
    public func waitForWebhooks() async throws {
        let clock = configuration.clock
        try await wait(on: signals.outbox) {
            try await reading { database in try MessageStore.nextWebhook(database).map { $0 - clock.now() } }
        }
    }

    /// Removes a notification.
    public func settleWebhook(_ number: Int64) async throws {
        try await writer.perform(isDurable: false) { store, database in try store.settleWebhook(number, database) }
    }

    /// Puts a notification off, as `WebhookOutbox` says.
    public func deferWebhook(
        _ number: Int64, until due: Instant, error: String, countsAsTry: Bool
    ) async throws {
        try await writer.perform(isDurable: false) { store, database in
            try store.deferWebhook(number, until: due, error: error, countsAsTry: countsAsTry, database)
        }
    }
}
