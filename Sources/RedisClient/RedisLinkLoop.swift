import Basics
import DequeModule
import NIOCore
import NIOPosix
import NIOSSL

/// A connection that is made anew whenever it breaks: the part that lives on the event loop.
final class RedisLinkLoop: RedisConnectionOwner {
    private enum Phase {
        /// Nothing has been asked of it yet.
        case idle
        case connecting(RedisConnection, limit: Scheduled<Void>)
        case ready(RedisConnection)
        case pausing(Scheduled<Void>)
        case closed
    }

    private struct Waiting {
        let call: RedisCall
        let deadline: NIODeadline
    }

    /// How long a server that cannot do what the link is for is left alone: it may be replaced by a newer one.
    private static let pauseIfUnsupported = TimeSpan.seconds(60)

    private let configuration: RedisClient.Configuration
    private let purpose: RedisLink.Purpose
    private let eventLoop: any EventLoop
    private var phase = Phase.idle
    private var backoff: ReconnectBackoff
    private var random = SystemRandomNumberGenerator()
    private var waiting = Deque<Waiting>()
    private var expiry: (time: NIODeadline, timer: Scheduled<Void>)?
    private var lastFailure = "no connection came about in time"
    /// Channels whose subscription the server has not confirmed yet.
    private var unconfirmed: Set<String> = []
    private var hasBeenActive = false
    private var isActive = false

    init(_ configuration: RedisClient.Configuration, purpose: RedisLink.Purpose, eventLoop: any EventLoop) {
        self.configuration = configuration
        self.purpose = purpose
        self.eventLoop = eventLoop
        backoff = ReconnectBackoff(configuration.backoff)
    }

    func start() {
        if case .idle = phase { connect() }
    }

    // MARK: Calls

    func take(_ calls: [RedisCall]) {
        if case .closed = phase {
            for call in calls { call.end(.failed(.closed)) }
            return
        }
        let now = NIODeadline.now()
        for call in calls {
            let deadline = now + (call.timeout ?? configuration.commandTimeout).timeAmount
            waiting.append(Waiting(call: call, deadline: deadline))
            expire(at: deadline)
        }
        start()
        pump(now: now)
    }

    /// Writes what waits, as far as the connection takes it.
    private func pump(now: NIODeadline) {
        guard case .ready(let connection) = phase else { return }
        while connection.canWrite, let next = waiting.popFirst() {
            if !next.call.hasEnded { connection.write(next.call, now: now, deadline: next.deadline) }
        }
        connection.flush()
    }

    /// Makes sure that calls are looked through at `time` at the latest.
    private func expire(at time: NIODeadline) {
        if let expiry {
            if expiry.time <= time { return }
            expiry.timer.cancel()
        }
        let timer = eventLoop.assumeIsolated().scheduleTask(deadline: time) { self.expireCalls() }
        expiry = (time, timer)
    }

    private func expireCalls() {
        expiry = nil
        let now = NIODeadline.now()
        var next: NIODeadline?
        waiting.removeAll { waiting in
            guard waiting.deadline <= now else {
                next = min(next ?? .distantFuture, waiting.deadline)
                return false
            }
            if case .ready = phase {
                waiting.call.end(.failed(.timedOut))
            } else {
                waiting.call.end(.failed(.notConnected(reason: lastFailure)))
            }
            return true
        }
        if case .ready(let connection) = phase, let time = connection.expire(now: now) {
            next = min(next ?? .distantFuture, time)
        }
        if let next { expire(at: next) }
    }

    // MARK: Connecting

    private func connect() {
        let connection = makeConnection()
        let limit = eventLoop.assumeIsolated().scheduleTask(in: configuration.connectTimeout.timeAmount) {
            connection.end(.init(reason: "no connection came about in time"))
        }
        phase = .connecting(connection, limit: limit)

        openChannel().assumeIsolated().whenComplete { result in
            switch result {
            case .failure(let error): connection.end(.init(error))
            case .success(let (channel, tls)): self.use(channel, tls: tls, for: connection)
            }
        }
    }

    private func openChannel() -> EventLoopFuture<(any Channel, NIOSSLContext?)> {
        guard configuration.address.usesTLS else { return openPlainChannel().map { ($0, nil) } }
        let tls = configuration.tls
        // The files are read on a thread that may block.
        return NIOThreadPool.singleton.runIfActive(eventLoop: eventLoop) { try tls.makeContext() }
            .assumeIsolated()
            .flatMap { context in self.openPlainChannel().map { ($0, context) } }
            .nonisolated()
    }

    private func openPlainChannel() -> EventLoopFuture<any Channel> {
        ClientBootstrap(group: eventLoop)
            .connectTimeout(configuration.connectTimeout.timeAmount)
            .channelOption(.socketOption(.tcp_nodelay), value: 1)
            .channelOption(.writeBufferWaterMark, value: .init(low: 256 << 10, high: 1 << 20))
            .channelOption(
                .recvAllocator,
                value: AdaptiveRecvByteBufferAllocator(minimum: 4_096, initial: 16_384, maximum: 262_144)
            )
            .connect(host: configuration.address.host, port: configuration.address.port)
    }

    /// Handlers come in only now: while it connected to a name with several addresses there may have been several channels.
    private func use(_ channel: any Channel, tls: NIOSSLContext?, for connection: RedisConnection) {
        // The attempt may have been given up in the meantime.
        if connection.hasEnded { return channel.close(promise: nil) }
        do {
            if let tls {
                let handler = try configuration.tls.makeHandler(tls, host: configuration.address.host)
                try channel.pipeline.syncOperations.addHandler(handler)
            }
            try channel.pipeline.syncOperations.addHandler(connection)
        } catch {
            channel.close(promise: nil)
            connection.end(.init(error))
        }
    }

    private func makeConnection() -> RedisConnection {
        var prefixes: [String]?
        var onlyMessages = false
        switch purpose {
        case .commands: break
        case .watch(let watch): prefixes = watch.prefixes
        case .subscription: onlyMessages = true
        }
        let handshake = RedisHandshake(
            address: configuration.address, clientName: configuration.clientName, trackedPrefixes: prefixes)
        return RedisConnection(configuration, handshake: handshake, onlyMessages: onlyMessages, owner: self)
    }

    func connectionIsReady(_ connection: RedisConnection, protocolVersion: Int) {
        guard case .connecting(let current, let limit) = phase, current === connection else { return }
        limit.cancel()
        phase = .ready(connection)
        switch purpose {
        case .commands:
            becameActive()
            pump(now: .now())
        case .watch(let watch):
            becameActive()
            watch.status.set(.active)
            watch.onChange(nil)
        case .subscription(let subscription):
            unconfirmed = Set(subscription.channels)
            if unconfirmed.isEmpty { return becameSubscribed(subscription) }
            connection.writeUnanswered(RedisCommand("SUBSCRIBE", subscription.channels.map { .text($0) }))
        }
    }

    private func becameActive() {
        backoff.reset()
        isActive = true
    }

    private func becameSubscribed(_ subscription: SubscriptionPurpose) {
        becameActive()
        subscription.status.set(.active)
        subscription.onEvent(.subscribed(mayHaveMissed: hasBeenActive))
        hasBeenActive = true
    }

    func connectionCanWriteAgain(_ connection: RedisConnection) { pump(now: .now()) }

    func connection(_ connection: RedisConnection, received message: RESPValue) {
        switch purpose {
        case .commands: break
        case .watch(let watch): watch.receive(message)
        case .subscription(let subscription):
            switch SubscriptionPurpose.read(message) {
            case .message(let channel, let payload): subscription.onEvent(.message(channel: channel, payload: payload))
            case .subscribed(let channel):
                if unconfirmed.remove(channel) != nil, unconfirmed.isEmpty { becameSubscribed(subscription) }
            case .refused(let error):
                let reason = "the server refuses the subscription: \(error)"
                connection.end(.init(reason: reason, failure: .unsupported(reason)))
            case .other: break
            }
        }
    }

    // MARK: Losing it

    func connectionEnded(_ connection: RedisConnection, _ end: RedisConnection.End) {
        switch phase {
        case .connecting(let current, let limit) where current === connection: limit.cancel()
        case .ready(let current) where current === connection: break
        default: return
        }
        lastFailure = end.reason
        var pause = backoff.nextPause(using: &random)
        var status = RedisPushStatus.connecting(reason: end.reason)
        switch end.failure {
        case .refused:
            for next in waiting { next.call.end(.failed(.notConnected(reason: end.reason))) }
            waiting = []
        case .unsupported:
            pause = Self.pauseIfUnsupported
            status = .unsupported(reason: end.reason)
        case .busy, nil: break
        }
        phase = .pausing(
            eventLoop.assumeIsolated().scheduleTask(in: pause.timeAmount) { self.connect() })
        tell(status, reason: end.reason)
        isActive = false
    }

    private func tell(_ status: RedisPushStatus, reason: String) {
        switch purpose {
        case .commands: break
        case .watch(let watch): watch.status.set(status)
        case .subscription(let subscription):
            subscription.status.set(status)
            if isActive { subscription.onEvent(.interrupted(reason: reason)) }
        }
    }

    /// Ends everything.
    func close() {
        let last = phase
        phase = .closed
        switch last {
        case .idle, .closed: break
        case .pausing(let timer): timer.cancel()
        case .connecting(let connection, let limit):
            limit.cancel()
            connection.end(.init(reason: "closed"), error: .closed)
        case .ready(let connection): connection.end(.init(reason: "closed"), error: .closed)
        }
        for next in waiting { next.call.end(.failed(.closed)) }
        waiting = []
        expiry?.timer.cancel()
        expiry = nil
        isActive = false
        tell(.closed, reason: "closed")
    }
}
