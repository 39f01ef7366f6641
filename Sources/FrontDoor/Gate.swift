import Synchronization

/// Lets so many through at a time, the others in the order in which they came.
final class Gate: Sendable {
    private struct State {
        var free: Int
        var lastTicket: UInt64 = 0
        /// No ticket below this one waits.
        var first: UInt64 = 1
        var waiting: [UInt64: CheckedContinuation<Void, any Error>] = [:]
    }

    private let state: Mutex<State>

    init(places: Int) { state = Mutex(State(free: places)) }

    /// How many wait.
    var waitingCount: Int { state.withLock { $0.waiting.count } }
    /// How many would pass at once.
    var freePlaces: Int { state.withLock { $0.free } }

    /// Runs `work` as soon as there is a place; throws `CancellationError` if the task is cancelled before.
    func pass<Value>(_ work: () async throws -> Value) async throws -> Value {
        try await enter()
        defer { leave() }
        return try await work()
    }

    private func enter() async throws {
        let ticket = state.withLock { state in
            state.lastTicket += 1
            return state.lastTicket
        }
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let outcome = state.withLock { state -> Result<Void, any Error>? in
                    // Looked at under the lock: a cancellation that came before has found nobody to resume.
                    if Task.isCancelled { return .failure(CancellationError()) }
                    if state.free > 0 {
                        state.free -= 1
                        return .success(())
                    }
                    state.waiting[ticket] = continuation
                    state.first = min(state.first, ticket)
                    return nil
                }
                if let outcome { continuation.resume(with: outcome) }
            }
        } onCancel: {
            state.withLock { $0.waiting.removeValue(forKey: ticket) }?.resume(throwing: CancellationError())
        }
    }

    private func leave() {
        let next = state.withLock { state -> CheckedContinuation<Void, any Error>? in
            guard !state.waiting.isEmpty else {
                state.free += 1
                state.first = state.lastTicket + 1
                return nil
            }
            while true {
                defer { state.first += 1 }
                if let next = state.waiting.removeValue(forKey: state.first) { return next }
            }
        }
        next?.resume()
    }
}
