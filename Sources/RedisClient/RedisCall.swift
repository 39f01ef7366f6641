import Basics
import Synchronization

/// One call of a client: commands on their way, and the task that waits for the replies.
///
/// It ends once, by whoever is first: the replies, a failure, the clock or the caller's cancellation.
final class RedisCall: Sendable {
    enum Commands: Sendable {
        case one(RedisCommand)
        case many([RedisCommand])

        var count: Int {
            switch self {
            case .one: 1
            case .many(let commands): commands.count
            }
        }
    }

    enum Outcome: Sendable {
        case one(RESPValue)
        case many([RESPValue])
        case failed(RedisError)
    }

    private enum State {
        case new
        case waiting(CheckedContinuation<Outcome, Never>)
        case ended
    }

    let commands: Commands
    /// nil for the client's command timeout.
    let timeout: TimeSpan?
    private let state = Mutex(State.new)

    init(_ commands: Commands, timeout: TimeSpan?) {
        self.commands = commands
        self.timeout = timeout
    }

    /// Whether nobody waits for the replies any more.
    var hasEnded: Bool {
        state.withLock { state in
            if case .ended = state { true } else { false }
        }
    }

    /// Notes who waits; false if the call was cancelled before it began.
    func begin(_ continuation: CheckedContinuation<Outcome, Never>) -> Bool {
        state.withLock { state in
            guard case .new = state else { return false }
            state = .waiting(continuation)
            return true
        }
    }

    /// Ends the call unless it has ended.
    func end(_ outcome: Outcome) {
        let continuation = state.withLock { state -> CheckedContinuation<Outcome, Never>? in
            defer { state = .ended }
            if case .waiting(let continuation) = state { return continuation }
            return nil
        }
        continuation?.resume(returning: outcome)
    }
}
