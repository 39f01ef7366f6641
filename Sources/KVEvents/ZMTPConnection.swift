import Basics
import NIOCore
import NIOPosix

/// One ZMTP connection, from the attempt to its end. Lives on its event loop.
final class ZMTPConnection: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    /// What happens on it. After `ended` nothing more is told.
    enum Event {
        case opened
        case messages([[[UInt8]]])
        case ended(reason: String)
    }

    private let eventLoop: any EventLoop
    private let settings: KVEventSettings
    private let idleTimeout: TimeSpan?
    private var session: ZMTPSession
    private var onEvent: ((ZMTPConnection, Event) -> Void)?
    private var context: ChannelHandlerContext?
    private var isOpen = false
    private var lastRead = NIODeadline.now()
    private var timer: Scheduled<Void>?

    /// - Parameter idleTimeout: how long the open connection may be silent; nil if that is as long as heartbeats are answered.
    init(
        _ purpose: ZMTPSession.Purpose, settings: KVEventSettings, idleTimeout: TimeSpan? = nil,
        on eventLoop: any EventLoop,
        onEvent: @escaping (ZMTPConnection, Event) -> Void
    ) {
        self.eventLoop = eventLoop
        self.settings = settings
        self.idleTimeout = idleTimeout
        session = ZMTPSession(purpose, limits: settings.wireLimits)
        self.onEvent = onEvent
    }

    /// Begins the attempt.
    func connect(host: String, port: Int) {
        schedule(in: settings.connectTimeout) { $0.end("no connection came about in time") }
        ClientBootstrap(group: eventLoop)
            .connectTimeout(settings.connectTimeout.timeAmount)
            .channelOption(.socketOption(.tcp_nodelay), value: 1)
            .channelOption(.socketOption(.so_keepalive), value: 1)
            .connect(host: host, port: port)
            .assumeIsolated()
            .whenComplete { result in
                switch result {
                case .failure(let error): self.end("\(error)")
                case .success(let channel): self.use(channel)
                }
            }
    }

    private func use(_ channel: any Channel) {
        guard onEvent != nil else { return channel.close(promise: nil) }
        do { try channel.pipeline.syncOperations.addHandler(self) } catch {
            channel.close(promise: nil)
            end("\(error)")
        }
    }

    /// Closes it; told as its end with this reason.
    func end(_ reason: String) {
        timer?.cancel()
        timer = nil
        // Closing tells of itself; the reason that came first stands.
        let onEvent = onEvent
        self.onEvent = nil
        context?.close(promise: nil)
        onEvent?(self, .ended(reason: reason))
    }

    /// Closes it without a word.
    func abandon() {
        onEvent = nil
        end("")
    }

    // MARK: The channel

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        write(session.opening)
    }

    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard onEvent != nil else { return }
        lastRead = .now()
        var outputs: [ZMTPSession.Output] = []
        var defect: ZMTPDefect?
        do { try session.receive(Self.unwrapInboundIn(data).readableBytesView, into: &outputs) } catch {
            defect = error
        }
        var messages: [[[UInt8]]] = []
        for output in outputs {
            switch output {
            case .send(let bytes): write(bytes)
            case .opened: opened()
            case .message(let parts): messages.append(parts)
            }
        }
        if !messages.isEmpty { onEvent?(self, .messages(messages)) }
        if let defect { end("the peer is no KV event publisher: \(defect)") }
    }

    func channelInactive(context: ChannelHandlerContext) { end("the peer has closed the connection") }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { end("\(error)") }

    private func write(_ bytes: [UInt8]) {
        guard let context else { return }
        context.writeAndFlush(NIOAny(context.channel.allocator.buffer(bytes: bytes)), promise: nil)
    }

    private func opened() {
        isOpen = true
        schedule(in: idleTimeout ?? settings.heartbeat) { $0.watch() }
        onEvent?(self, .opened)
    }

    // MARK: Silence

    private func watch() {
        let silence = TimeSpan(nanoseconds: (NIODeadline.now() - lastRead).nanoseconds)
        if let idleTimeout {
            if silence >= idleTimeout { return end("the peer is silent") }
            return schedule(in: idleTimeout - silence) { $0.watch() }
        }
        if silence >= settings.heartbeat, let bytes = session.heartbeat(timeToLiveSeconds: 0) {
            if silence >= settings.heartbeat * 3 { return end("the peer gives no sign of life") }
            write(bytes)
        }
        schedule(in: settings.heartbeat) { $0.watch() }
    }

    private func schedule(in span: TimeSpan, _ action: @escaping (ZMTPConnection) -> Void) {
        timer?.cancel()
        timer = eventLoop.assumeIsolated().scheduleTask(in: span.timeAmount) { action(self) }
    }
}

extension TimeSpan {
    var timeAmount: TimeAmount { .nanoseconds(nanoseconds) }
}
