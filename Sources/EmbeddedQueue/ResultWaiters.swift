import GRDB
import MessageQueues
import Synchronization

/// Those who wait for the result of one request, by its id.
///
/// Results that this process stores wake their waiters directly. For those of other processes the results behind the last
/// one known are read, never the waiters one by one.
final class ResultWaiters: Sendable {
    private struct Waiter {
        let id: String
        var continuation: CheckedContinuation<Void, Never>?
    }

    private struct State {
        var nextTicket: UInt64 = 0
        var waiters: [UInt64: Waiter] = [:]
        var tickets: [String: Set<UInt64>] = [:]
        /// Results up to here have woken their waiters; nil until somebody waits.
        var cursor: Int64?
        /// Changes by others that came while there was no cursor yet.
        var hasMissed = false

        /// Takes those out who wait for a request.
        mutating func remove(_ id: String) -> [CheckedContinuation<Void, Never>] {
            guard let tickets = tickets.removeValue(forKey: id) else { return [] }
            defer { forgetIfIdle() }
            return tickets.compactMap { waiters.removeValue(forKey: $0)?.continuation }
        }

        mutating func remove(_ ticket: UInt64) -> CheckedContinuation<Void, Never>? {
            guard let waiter = waiters.removeValue(forKey: ticket) else { return nil }
            tickets[waiter.id]?.remove(ticket)
            if tickets[waiter.id]?.isEmpty == true { tickets.removeValue(forKey: waiter.id) }
            forgetIfIdle()
            return waiter.continuation
        }

        private mutating func forgetIfIdle() {
            guard waiters.isEmpty else { return }
            cursor = nil
            hasMissed = false
        }
    }

    /// Results of others read at a time.
    private static let pageCount = 10_000

    private let state = Mutex(State())
    private let pool: DatabasePool

    init(pool: DatabasePool) { self.pool = pool }

    /// How many wait.
    var count: Int { state.withLock { $0.waiters.count } }

    /// Suspends until the request has a result or is not known, or the task is cancelled.
    func wait(for id: String) async throws {
        let ticket = state.withLock { state in
            state.nextTicket += 1
            state.waiters[state.nextTicket] = Waiter(id: id)
            state.tickets[id, default: []].insert(state.nextTicket)
            return state.nextTicket
        }
        // From here on a result is not missed; one that came before is seen by this look.
        let look: (isUnfinished: Bool, cursor: Int64)
        do {
            look = try await pool.read { database in
                (try MessageStore.isUnfinished(id, database), try MessageStore.lastCursor(database))
            }
        } catch {
            _ = state.withLock { $0.remove(ticket) }
            throw error
        }
        guard look.isUnfinished else {
            _ = state.withLock { $0.remove(ticket) }
            return
        }
        let hasMissed = state.withLock { state in
            guard state.cursor == nil, !state.waiters.isEmpty else { return false }
            state.cursor = look.cursor
            defer { state.hasMissed = false }
            return state.hasMissed
        }
        if hasMissed { follow() }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let waits = state.withLock { state in
                    // A ticket that is gone has been served. The cancellation handler may have run already; not unseen,
                    // since it takes the same lock after the task's flag is set.
                    guard state.waiters[ticket] != nil else { return false }
                    guard !Task.isCancelled else {
                        _ = state.remove(ticket)
                        return false
                    }
                    state.waiters[ticket]?.continuation = continuation
                    return true
                }
                if !waits { continuation.resume() }
            }
        } onCancel: {
            state.withLock { $0.remove(ticket) }?.resume()
        }
    }

    /// Wakes those who wait for results that this process has just stored.
    func stored(_ finished: [MessageStore.Changes.Finished]) {
        guard let first = finished.first, let last = finished.last else { return }
        let (woken, hasGap) = state.withLock { state in
            guard !state.waiters.isEmpty else { return ([CheckedContinuation<Void, Never>](), false) }
            let woken = finished.flatMap { state.remove($0.id) }
            guard let cursor = state.cursor else {
                state.hasMissed = true
                return (woken, false)
            }
            // Others may have stored results in between.
            guard cursor >= first.cursor - 1 else { return (woken, true) }
            state.cursor = max(cursor, last.cursor)
            return (woken, false)
        }
        for waiter in woken { waiter.resume() }
        if hasGap { follow() }
    }

    /// Wakes those who wait for results that others have stored, if anybody waits.
    func follow() {
        let cursor: Int64? = state.withLock { state in
            if state.cursor == nil, !state.waiters.isEmpty { state.hasMissed = true }
            return state.cursor
        }
        guard let cursor else { return }
        pool.asyncRead { database in
            // A failure is met again by the next look, and by whoever calls for the result.
            guard
                let finished = try? MessageStore.finished(after: cursor, limit: Self.pageCount, database.get()),
                let last = finished.last
            else { return }
            let woken = self.state.withLock { state in
                if let known = state.cursor { state.cursor = max(known, last.cursor) }
                return finished.flatMap { state.remove($0.id) }
            }
            for waiter in woken { waiter.resume() }
            if finished.count == Self.pageCount { self.follow() }
        }
    }

    /// Wakes everybody: the queue is closed.
    func wakeAll() {
        let woken = state.withLock { state in
            let ids = Array(state.tickets.keys)
            return ids.flatMap { state.remove($0) }
        }
        for waiter in woken { waiter.resume() }
    }
}
