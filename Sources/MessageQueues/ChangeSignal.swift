public import Basics
import Synchronization

/// A counter of changes that tasks can wait on; no change between a look and a wait is ever missed.
///
/// Read `version`, look at whatever the signal stands for, then `wait(past:)` that version.
public final class ChangeSignal: Sendable {
    private struct State {
        var version: UInt64 = 0
        var nextWaiter: UInt64 = 0
        var waiters: [UInt64: CheckedContinuation<Void, Never>] = [:]
    }

    private let state = Mutex(State())

    /// Creates a signal at version 0.
    public init() {}

    /// The number of changes so far.
    public var version: UInt64 { state.withLock { $0.version } }

    /// Counts a change and wakes all who wait.
    public func notify() {
        let waiters = state.withLock { state in
            state.version += 1
            defer { state.waiters.removeAll() }
            return state.waiters
        }
        for waiter in waiters.values { waiter.resume() }
    }

    /// Suspends until there has been a change after `version`, or the task is cancelled.
    public func wait(past version: UInt64) async {
        let ticket = state.withLock { state in
            state.nextWaiter += 1
            return state.nextWaiter
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let waits = state.withLock { state in
                    // The cancellation handler may have run already; it cannot run between this look and the insertion
                    // unseen, since it takes the same lock after the task's flag is set.
                    guard state.version <= version, !Task.isCancelled else { return false }
                    state.waiters[ticket] = continuation
                    return true
                }
                if !waits { continuation.resume() }
            }
        } onCancel: {
            state.withLock { $0.waiters.removeValue(forKey: ticket) }?.resume()
        }
    }

    /// As `wait(past:)`, but for no longer than `limit` of real time.
    public func wait(past version: UInt64, atMost limit: TimeSpan) async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await self.wait(past: version) }
            group.addTask { try? await Task.sleep(for: .nanoseconds(max(0, limit.nanoseconds))) }
            await group.next()
            group.cancelAll()
        }
    }
}
