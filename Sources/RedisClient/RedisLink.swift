import NIOCore
import NIOPosix
import Synchronization

/// A connection that is made anew whenever it breaks: the face that other threads see.
///
/// Calls are left in an inbox; only the first one wakes the event loop, which then takes them all.
final class RedisLink: Sendable {
    /// What the link is for.
    enum Purpose: Sendable {
        case commands
        case watch(WatchPurpose)
        case subscription(SubscriptionPurpose)
    }

    private struct State {
        var inbox: [RedisCall] = []
        var isAwake = false
        var isClosing = false
        var isClosed = false
        var waiters: [CheckedContinuation<Void, Never>] = []
    }

    private let state = Mutex(State())
    private let eventLoop: any EventLoop
    private let loop: NIOLoopBoundBox<RedisLinkLoop>

    init(_ configuration: RedisClient.Configuration, purpose: Purpose) {
        let eventLoop = (configuration.eventLoopGroup ?? MultiThreadedEventLoopGroup.singleton).next()
        self.eventLoop = eventLoop
        loop = .makeBoxSendingValue(
            RedisLinkLoop(configuration, purpose: purpose, eventLoop: eventLoop), eventLoop: eventLoop)
    }

    /// Connects without waiting for a call.
    func start() {
        eventLoop.execute { self.loop.value.start() }
    }

    /// Sends a call's commands and suspends until its outcome is known, or the task is cancelled.
    func outcome(of call: RedisCall) async -> RedisCall.Outcome {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                if call.begin(continuation) {
                    submit(call)
                } else {
                    continuation.resume(returning: .failed(.cancelled))
                }
            }
        } onCancel: {
            call.end(.failed(.cancelled))
        }
    }

    private func submit(_ call: RedisCall) {
        let (isOpen, wakes) = state.withLock { state in
            guard !state.isClosing else { return (false, false) }
            state.inbox.append(call)
            defer { state.isAwake = true }
            return (true, !state.isAwake)
        }
        if !isOpen { return call.end(.failed(.closed)) }
        if wakes { eventLoop.execute { self.loop.value.take(self.emptyInbox()) } }
    }

    private func emptyInbox() -> [RedisCall] {
        state.withLock { state in
            state.isAwake = false
            defer { state.inbox = [] }
            return state.inbox
        }
    }

    // MARK: The end

    /// Whether it has been told to close.
    var isClosing: Bool { state.withLock { $0.isClosing } }

    /// Starts to close; everything that waits or is under way fails with `.closed`.
    func beginClosing() {
        let isFirst = state.withLock { state in
            defer { state.isClosing = true }
            return !state.isClosing
        }
        guard isFirst else { return }
        eventLoop.execute {
            self.loop.value.take(self.emptyInbox())
            self.loop.value.close()
            let waiters = self.state.withLock { state in
                state.isClosed = true
                defer { state.waiters = [] }
                return state.waiters
            }
            for waiter in waiters { waiter.resume() }
        }
    }

    /// Returns once it is closed.
    func waitUntilClosed() async {
        await withCheckedContinuation { continuation in
            let isClosed = state.withLock { state in
                if !state.isClosed { state.waiters.append(continuation) }
                return state.isClosed
            }
            if isClosed { continuation.resume() }
        }
    }
}
