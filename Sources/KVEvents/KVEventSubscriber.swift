public import NIOCore
import NIOPosix
import Synchronization

/// Keeps a subscription to one engine's KV events: connects, connects anew, repairs what was missed through the replay
/// socket, and tells what an index of prefix blocks has to change.
///
/// While the connection is lost what was told stays valid as a guess; when it is back, a restarted engine is found out and
/// `.clear` is told. Whether what is known is current, `status` says. It goes on until `close` is called.
public final class KVEventSubscriber: Sendable {
    private struct State {
        var isClosing = false
        var isClosed = false
        var waiters: [CheckedContinuation<Void, Never>] = []
    }

    private let eventLoop: any EventLoop
    private let loop: NIOLoopBoundBox<KVEventSubscriberLoop>
    private let board = KVEventStatusBoard()
    private let state = Mutex(State())

    /// Starts to connect.
    ///
    /// - Parameters:
    ///   - onChanges: told on an event loop, in order, never twice at a time; what one read from the socket has brought is
    ///     told together. Not told any more once `close` has returned.
    public init(
        _ source: KVEventSource, settings: KVEventSettings = KVEventSettings(), group: (any EventLoopGroup)? = nil,
        onChanges: @escaping @Sendable ([ResidencyChange]) -> Void
    ) {
        let eventLoop = (group ?? MultiThreadedEventLoopGroup.singleton).next()
        self.eventLoop = eventLoop
        loop = .makeBoxSendingValue(
            KVEventSubscriberLoop(source, settings: settings, eventLoop: eventLoop, board: board, onChanges: onChanges),
            eventLoop: eventLoop)
        eventLoop.execute { self.loop.value.connect() }
    }

    /// How it is doing.
    public var status: KVEventStatus { board.status }

    /// Ends the subscription; returns once nothing of it is left.
    public func close() async {
        let isFirst = state.withLock { state in
            defer { state.isClosing = true }
            return !state.isClosing
        }
        if isFirst {
            eventLoop.execute {
                self.loop.value.close()
                let waiters = self.state.withLock { state in
                    state.isClosed = true
                    defer { state.waiters = [] }
                    return state.waiters
                }
                for waiter in waiters { waiter.resume() }
            }
        }
        await withCheckedContinuation { continuation in
            let isClosed = state.withLock { state in
                if !state.isClosed { state.waiters.append(continuation) }
                return state.isClosed
            }
            if isClosed { continuation.resume() }
        }
    }
}

/// Where the event loop writes how it is doing, and others read it.
final class KVEventStatusBoard: Sendable {
    private let value = Mutex(KVEventStatus())

    var status: KVEventStatus { value.withLock { $0 } }

    func update(_ change: (inout KVEventStatus) -> Void) { value.withLock { change(&$0) } }
}
