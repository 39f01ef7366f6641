import Basics
import DequeModule
import NIOCore

/// Who is told what happens on a connection.
protocol RedisConnectionOwner: AnyObject {
    /// The handshake is done.
    func connectionIsReady(_ connection: RedisConnection, protocolVersion: Int)
    /// A message came that is not the reply to a command.
    func connection(_ connection: RedisConnection, received message: RESPValue)
    /// What was written has left, at least in part.
    func connectionCanWriteAgain(_ connection: RedisConnection)
    /// It is over; told once, and nothing after it.
    func connectionEnded(_ connection: RedisConnection, _ end: RedisConnection.End)
}

/// One connection to a server: handshake, commands out, replies back in the same order. Lives on its event loop.
final class RedisConnection: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    /// Why a connection is over.
    struct End {
        /// A sentence for the operator.
        let reason: String
        /// Set if it could not be used, and not for a passing reason.
        var failure: RedisHandshake.Failure?
    }

    private enum Phase { case handshake, open, ended }

    /// A call whose replies are to come, or a command of our own whose reply nobody needs.
    private struct Flight {
        var call: RedisCall?
        var missing: Int
        var replies: [RESPValue] = []
        let written: NIODeadline
        let deadline: NIODeadline
    }

    /// Bytes that are encoded before they are handed to the channel.
    private static let chunkBytes = 128 << 10

    private let configuration: RedisClient.Configuration
    /// On a connection that subscribes, everything after the handshake is a message, also in RESP2.
    private let onlyMessages: Bool
    private weak var owner: (any RedisConnectionOwner)?
    private var context: ChannelHandlerContext?
    private var decoder: RESPDecoder
    private var handshake: RedisHandshake
    private var phase = Phase.handshake
    private var flights = Deque<Flight>()
    private var outgoing = ByteBuffer()
    private var lastRead = NIODeadline.now()
    private var signOfLifeAsked: NIODeadline?

    init(
        _ configuration: RedisClient.Configuration, handshake: RedisHandshake, onlyMessages: Bool,
        owner: any RedisConnectionOwner
    ) {
        self.configuration = configuration
        self.handshake = handshake
        self.onlyMessages = onlyMessages
        self.owner = owner
        decoder = RESPDecoder(maximumBytes: configuration.maximumReplyBytes)
    }

    var hasEnded: Bool { phase == .ended }

    // MARK: Out

    /// Whether more can be written without piling up.
    var canWrite: Bool { phase == .open && context?.channel.isWritable == true }

    /// Writes a call's commands; `flush()` sends them off.
    func write(_ call: RedisCall, now: NIODeadline, deadline: NIODeadline) {
        flights.append(Flight(call: call, missing: call.commands.count, written: now, deadline: deadline))
        switch call.commands {
        case .one(let command): RESPEncoder.write(command, into: &outgoing)
        case .many(let commands): for command in commands { RESPEncoder.write(command, into: &outgoing) }
        }
        if outgoing.readableBytes >= Self.chunkBytes { flush() }
    }

    /// Writes a command to which the server answers with messages only.
    func writeUnanswered(_ command: RedisCommand) {
        RESPEncoder.write(command, into: &outgoing)
        flush()
    }

    func flush() {
        guard let context, outgoing.readableBytes > 0 else { return }
        // Taken out first: what is read while this is written (as TLS may do) may be answered from within.
        var bytes = ByteBuffer()
        swap(&bytes, &outgoing)
        context.writeAndFlush(NIOAny(bytes), promise: nil)
        if outgoing.capacity == 0, bytes.capacity <= 2 * Self.chunkBytes {
            bytes.clear()
            outgoing = bytes
        }
    }

    private func take(_ step: RedisHandshake.Step) {
        switch step {
        case .send(let commands):
            for command in commands { RESPEncoder.write(command, into: &outgoing) }
            flush()
        case .wait: break
        case .failed(let failure): end(End(reason: failure.reason, failure: failure))
        case .done(let protocolVersion):
            phase = .open
            lastRead = .now()
            scheduleLifeCheck(at: lastRead + configuration.idleTimeout.timeAmount)
            owner?.connectionIsReady(self, protocolVersion: protocolVersion)
        }
    }

    // MARK: In

    /// The channel is connected already.
    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        if phase == .handshake { take(handshake.begin()) }
    }

    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        lastRead = .now()
        decoder.append(unwrapInboundIn(data))
        do throws(RESPDecoder.Failure) {
            while phase != .ended, let value = try decoder.next() { receive(value) }
        } catch {
            let call = flights.popFirst()?.call
            switch error {
            case .tooLong:
                call?.end(.failed(.replyTooLong))
                end(End(reason: "a reply was longer than \(configuration.maximumReplyBytes) bytes or too deep"))
            case .malformed(let what):
                call?.end(.failed(.protocolViolation(what)))
                end(End(reason: "the peer does not speak the Redis protocol: \(what)"))
            }
        }
    }

    private func receive(_ value: RESPValue) {
        if case .push = value {
            owner?.connection(self, received: value)
        } else if phase == .handshake {
            take(handshake.receive(value))
        } else if onlyMessages {
            owner?.connection(self, received: value)
        } else if flights.isEmpty {
            end(End(reason: "the server sent a reply to nothing that was asked"))
        } else if flights[0].missing == 1, flights[0].replies.isEmpty {
            flights.removeFirst().call?.end(.one(value))
        } else {
            flights[0].replies.append(value)
            flights[0].missing -= 1
            if flights[0].missing == 0 {
                let flight = flights.removeFirst()
                flight.call?.end(.many(flight.replies))
            }
        }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if canWrite { owner?.connectionCanWriteAgain(self) }
    }

    // MARK: Time

    /// Ends calls whose time is up; returns when the next one's will be.
    ///
    /// If not a byte has come since such a call was written, the connection is taken for dead.
    func expire(now: NIODeadline) -> NIODeadline? {
        var next: NIODeadline?
        var isDead = false
        for index in flights.indices where flights[index].call != nil {
            if flights[index].deadline > now {
                next = min(next ?? .distantFuture, flights[index].deadline)
            } else {
                isDead = isDead || lastRead < flights[index].written
                flights[index].call?.end(.failed(.timedOut))
                flights[index].call = nil
            }
        }
        if isDead { end(End(reason: "the server has stopped answering")) }
        return next
    }

    private func scheduleLifeCheck(at time: NIODeadline) {
        context?.eventLoop.assumeIsolated().scheduleTask(deadline: time) { [weak self] in self?.checkLife() }
    }

    /// Asks for a sign of life after a long silence. Not while calls are under way: they have their own deadlines.
    private func checkLife() {
        guard phase == .open else { return }
        let now = NIODeadline.now()
        if let asked = signOfLifeAsked, lastRead < asked {
            let limit = asked + configuration.commandTimeout.timeAmount
            if now >= limit { return end(End(reason: "the server gives no sign of life")) }
            return scheduleLifeCheck(at: min(limit, now + configuration.idleTimeout.timeAmount))
        }
        signOfLifeAsked = nil
        let due = lastRead + configuration.idleTimeout.timeAmount
        if now < due { return scheduleLifeCheck(at: due) }
        guard flights.isEmpty else { return scheduleLifeCheck(at: now + configuration.idleTimeout.timeAmount) }
        signOfLifeAsked = now
        if !onlyMessages { flights.append(Flight(call: nil, missing: 1, written: now, deadline: .distantFuture)) }
        writeUnanswered(RedisCommand("PING"))
        scheduleLifeCheck(at: now + min(configuration.idleTimeout, configuration.commandTimeout).timeAmount)
    }

    // MARK: The end

    func channelInactive(context: ChannelHandlerContext) {
        end(End(reason: "the server closed the connection"))
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        end(End(error))
    }

    /// Closes the connection; calls under way fail with `error`.
    func end(_ end: End, error: RedisError = .connectionLost(commandMayHaveRun: true)) {
        guard phase != .ended else { return }
        phase = .ended
        let flights = flights
        self.flights = []
        for flight in flights { flight.call?.end(.failed(error)) }
        context?.close(promise: nil)
        owner?.connectionEnded(self, end)
    }
}

extension TimeSpan {
    /// The same length in SwiftNIO's unit.
    var timeAmount: TimeAmount { .nanoseconds(nanoseconds) }
}
