import Synchronization

/// How a connection for messages from the server is doing.
public enum RedisPushStatus: Hashable, Sendable {
    /// There is no connection; `reason` tells why the last attempt failed, if there was one.
    case connecting(reason: String?)
    /// Messages arrive.
    case active
    /// The server cannot do this, or does not allow it to us. It is asked again every minute.
    case unsupported(reason: String)
    /// It was closed.
    case closed
}

/// A running watch over keys; see `RedisClient.watch(prefixes:keys:)`. It goes on until it or its client is closed.
public final class RedisWatch: Sendable {
    private let board: RedisStatusBoard
    private let link: RedisLink

    init(status: RedisStatusBoard, link: RedisLink) {
        board = status
        self.link = link
    }

    /// How it is doing now.
    public var status: RedisPushStatus { board.status }

    /// Suspends until there is something else to say than `.connecting`, or the task is cancelled; returns the status.
    public func waitUntilDecided() async -> RedisPushStatus { await board.waitUntilDecided() }

    /// Ends the watch; `onChange` is not called again once this has returned.
    public func close() async {
        link.beginClosing()
        await link.waitUntilClosed()
    }
}

/// A running subscription to channels; see `RedisClient.subscribe(channels:onEvent:)`. It goes on until it or its client
/// is closed.
public final class RedisSubscription: Sendable {
    private let board: RedisStatusBoard
    private let link: RedisLink

    init(status: RedisStatusBoard, link: RedisLink) {
        board = status
        self.link = link
    }

    /// How it is doing now.
    public var status: RedisPushStatus { board.status }

    /// Suspends until there is something else to say than `.connecting`, or the task is cancelled; returns the status.
    public func waitUntilDecided() async -> RedisPushStatus { await board.waitUntilDecided() }

    /// Ends the subscription; `onEvent` is not called again once this has returned.
    public func close() async {
        link.beginClosing()
        await link.waitUntilClosed()
    }
}

/// What a subscription tells.
public enum RedisSubscriptionEvent: Hashable, Sendable {
    /// All channels are subscribed from here on. If there was a subscription before, messages may have been missed since.
    case subscribed(mayHaveMissed: Bool)
    /// A message.
    case message(channel: String, payload: [UInt8])
    /// The connection is gone; messages are missed until the next `subscribed`.
    case interrupted(reason: String)
}

/// The status of a link, to be read and waited for from any thread.
final class RedisStatusBoard: Sendable {
    private struct State {
        var status = RedisPushStatus.connecting(reason: nil)
        var lastWaiter = 0
        var waiters: [Int: CheckedContinuation<Void, Never>] = [:]
    }

    private let state = Mutex(State())
    private let onChange: (@Sendable (RedisPushStatus) -> Void)?

    init(onChange: (@Sendable (RedisPushStatus) -> Void)? = nil) { self.onChange = onChange }

    var status: RedisPushStatus { state.withLock { $0.status } }

    func set(_ status: RedisPushStatus) {
        let (isNew, waiters) = state.withLock { state -> (Bool, [Int: CheckedContinuation<Void, Never>]) in
            // Closed is final.
            let isNew = state.status != .closed && state.status != status
            if isNew { state.status = status }
            guard state.status.isDecided else { return (isNew, [:]) }
            defer { state.waiters = [:] }
            return (isNew, state.waiters)
        }
        for waiter in waiters.values { waiter.resume() }
        if isNew { onChange?(status) }
    }

    func waitUntilDecided() async -> RedisPushStatus {
        let ticket = state.withLock { state in
            state.lastWaiter += 1
            return state.lastWaiter
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let waits = state.withLock { state in
                    guard !state.status.isDecided, !Task.isCancelled else { return false }
                    state.waiters[ticket] = continuation
                    return true
                }
                if !waits { continuation.resume() }
            }
        } onCancel: {
            state.withLock { $0.waiters.removeValue(forKey: ticket) }?.resume()
        }
        return status
    }
}

extension RedisPushStatus {
    fileprivate var isDecided: Bool {
        if case .connecting = self { false } else { true }
    }
}
