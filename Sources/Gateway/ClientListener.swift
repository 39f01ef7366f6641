import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization

/// Counts bytes before they are parsed, and throws them away once nobody wants them.
final class ArrivalWatch: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private let connection: ClientConnection

    init(_ connection: ClientConnection) { self.connection = connection }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if connection.bytesArrived(unwrapInboundIn(data).readableBytes) { context.fireChannelRead(data) }
    }
}

/// Accepts no more connections while as many are open as may be; the others wait in the kernel.
final class AcceptLimiter: ChannelDuplexHandler {
    typealias InboundIn = any Channel
    typealias InboundOut = any Channel
    typealias OutboundIn = Never

    private let limit: Int
    private var open = 0
    private var readIsDue = false

    init(limit: Int) { self.limit = limit }

    func read(context: ChannelHandlerContext) {
        if open < limit { context.read() } else { readIsDue = true }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        open += 1
        let bound = NIOLoopBound((handler: self, context: context), eventLoop: context.eventLoop)
        unwrapInboundIn(data).closeFuture.hop(to: context.eventLoop).whenComplete { _ in
            bound.value.handler.closed(bound.value.context)
        }
        context.fireChannelRead(data)
    }

    private func closed(_ context: ChannelHandlerContext) {
        open -= 1
        if readIsDue, open < limit {
            readIsDue = false
            context.read()
        }
    }
}

/// Binds the port that clients talk to.
enum ClientListener {
    static func bind(
        group: MultiThreadedEventLoopGroup, loops: [ObjectIdentifier: NIOLoopBound<LoopContext>], core: GatewayCore
    ) async throws -> any Channel {
        let limits = core.limits
        let trusted = core.configuration.trustedCallers
        return try await ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 4096)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .serverChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(AcceptLimiter(limit: limits.connections))
                }
            }
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelOption(.socketOption(.so_keepalive), value: 1)
            .childChannelOption(
                .writeBufferWaterMark,
                value: .init(low: max(1, limits.responseBufferBytes / 2), high: max(2, limits.responseBufferBytes))
            )
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    guard let loop = loops[ObjectIdentifier(channel.eventLoop)]?.value else {
                        throw ChannelError.inappropriateOperationForState
                    }
                    let isTrusted =
                        channel.remoteAddress.map { peer in trusted.contains { $0.contains(peer) } } ?? false
                    try configure(channel, ClientConnection(loop: loop, isTrusted: isTrusted), limits: limits)
                }
            }
            .bind(host: core.configuration.host, port: core.configuration.port)
            .get()
    }

    private static func configure(
        _ channel: any Channel, _ connection: ClientConnection, limits: GatewayLimits
    ) throws {
        var decoderLimits = NIOHTTPDecoderLimitConfiguration()
        decoderLimits.maxHeaderFieldSize = limits.headerBytes
        decoderLimits.maxHeaderListSize = limits.headerBytes
        let pipeline = channel.pipeline.syncOperations
        try pipeline.addHandler(ArrivalWatch(connection))
        try pipeline.addHandler(ByteToMessageHandler(HTTPRequestDecoder(limitConfiguration: decoderLimits)))
        try pipeline.addHandler(connection)
    }
}
