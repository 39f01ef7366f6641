import Basics
import NIOCore

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// The part of a subscription that lives on its event loop: connections and timers around a `KVEventFeed`.
final class KVEventSubscriberLoop {
    private let source: KVEventSource
    private let settings: KVEventSettings
    private let eventLoop: any EventLoop
    private let board: KVEventStatusBoard
    private let onChanges: @Sendable ([ResidencyChange]) -> Void
    private var feed: KVEventFeed
    private var subscription: ZMTPConnection?
    private var replay: ZMTPConnection?
    private var reconnection: Scheduled<Void>?
    private var replayTimer: Scheduled<Void>?
    private var failures = 0
    /// The time stamp of the batch that the last figure of the lag is about.
    private var lagMeasured: Double?
    private var isOpen = false
    private var isClosed = false

    init(
        _ source: KVEventSource, settings: KVEventSettings, eventLoop: any EventLoop, board: KVEventStatusBoard,
        onChanges: @escaping @Sendable ([ResidencyChange]) -> Void
    ) {
        self.source = source
        self.settings = settings
        self.eventLoop = eventLoop
        self.board = board
        self.onChanges = onChanges
        feed = KVEventFeed(
            model: source.model, hasReplay: source.replayPort != nil, settings: settings)
    }

    func connect() {
        guard !isClosed else { return }
        let connection = ZMTPConnection(
            .subscription(topic: Array(source.topicFilter.utf8)), settings: settings, on: eventLoop
        ) { [weak self] in self?.subscription($0, $1) }
        subscription = connection
        connection.connect(host: source.host, port: source.port)
    }

    func close() {
        isClosed = true
        reconnection?.cancel()
        subscription?.abandon()
        subscription = nil
        dropReplay()
        board.update { $0.connection = .closed }
    }

    // MARK: The subscription

    private func subscription(_ connection: ZMTPConnection, _ event: ZMTPConnection.Event) {
        guard connection === subscription else { return }
        var output = KVEventFeed.Output()
        switch event {
        case .opened:
            isOpen = true
            board.update { $0.connections += 1 }
            feed.connected(into: &output)
        case .messages(let messages):
            failures = 0
            for parts in messages { feed.received(live: parts, into: &output) }
        case .ended(let reason):
            isOpen = false
            subscription = nil
            dropReplay()
            feed.disconnected()
            board.update { $0.connection = .connecting(reason: reason) }
            reconnection = eventLoop.assumeIsolated().scheduleTask(in: nextPause().timeAmount) { self.connect() }
        }
        deliver(output)
    }

    /// Doubled after each failure; from the upper half of the span, so that many subscribers do not come back in step.
    private func nextPause() -> TimeSpan {
        var span = settings.firstPause
        for _ in 0..<failures where span < settings.maximumPause { span = span * 2 }
        if span < settings.maximumPause { failures += 1 }
        return min(span, settings.maximumPause) * Double.random(in: 0.5...1)
    }

    // MARK: Replays

    private func ask(for request: KVEventFeed.ReplayRequest) {
        dropReplay()
        guard let port = source.replayPort else { return }
        replayTimer = eventLoop.assumeIsolated().scheduleTask(in: request.pause.timeAmount) {
            let connection = ZMTPConnection(
                .request(request.parts), settings: self.settings, idleTimeout: self.settings.replayIdleTimeout,
                on: self.eventLoop
            ) { [weak self] in self?.replay($0, $1) }
            self.replay = connection
            self.replayTimer = self.eventLoop.assumeIsolated().scheduleTask(in: self.settings.replayTimeout.timeAmount)
            {
                connection.end("the replay takes too long")
            }
            connection.connect(host: self.source.host, port: port)
        }
    }

    private func replay(_ connection: ZMTPConnection, _ event: ZMTPConnection.Event) {
        guard connection === replay else { return }
        var output = KVEventFeed.Output()
        switch event {
        case .opened: return
        case .messages(let messages):
            for parts in messages {
                let goesOn = feed.received(replayed: parts, into: &output)
                if !goesOn { dropReplay() }
                // What comes behind belongs to a replay that nobody wants any more.
                if !goesOn || output.replay != nil { break }
            }
        case .ended:
            replay = nil
            replayTimer?.cancel()
            feed.replayFailed(into: &output)
        }
        deliver(output)
    }

    private func dropReplay() {
        replayTimer?.cancel()
        replayTimer = nil
        replay?.abandon()
        replay = nil
    }

    // MARK: What follows

    private func deliver(_ output: KVEventFeed.Output) {
        if let request = output.replay { ask(for: request) }
        if !output.changes.isEmpty { onChanges(output.changes) }
        let made = feed.lastTimestampSeconds
        let lag = made == lagMeasured ? nil : made.map { TimeSpan.seconds(Self.unixSeconds() - $0) }
        lagMeasured = made
        board.update { status in
            status.counters = feed.counters
            status.residentBlocks = feed.residentBlocks
            status.blockSize = feed.blockSize
            status.adapters = feed.adapters
            if let lag { status.lag = lag }
            if isOpen { status.connection = feed.isFollowing ? .following : .replaying }
        }
    }

    private static func unixSeconds() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }
}
