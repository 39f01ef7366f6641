import NIOCore
import NIOHTTP1
import NIOPosix

/// A post that reached a `TestReceiver`, to be answered by the test.
struct Arrival: Sendable {
    let head: HTTPRequestHead
    let body: [UInt8]
    let channel: any Channel

    func header(_ name: String) -> String? { head.headers.first(name: name) }

    /// Sends a whole answer without a body.
    func answer(_ status: Int, _ headers: [(String, String)] = []) {
        begin(status, headers + [("content-length", "0")])
        channel.writeAndFlush(HTTPServerResponsePart.end(nil), promise: nil)
    }

    /// Sends a head only.
    func begin(_ status: Int, _ headers: [(String, String)]) {
        let head = HTTPResponseHead(
            version: .http1_1, status: HTTPResponseStatus(statusCode: status), headers: HTTPHeaders(headers))
        channel.writeAndFlush(HTTPServerResponsePart.head(head), promise: nil)
    }

    /// Returns when the sender has hung up.
    func closed() async throws { try await channel.closeFuture.get() }
}

/// A real HTTP server that results are posted to; the test decides how each post is answered.
final class TestReceiver: Sendable {
    let arrivals: Mailbox<Arrival>
    let port: Int
    private let channel: any Channel

    var url: String { "http://127.0.0.1:\(port)" }

    private init(_ channel: any Channel, _ arrivals: Mailbox<Arrival>) {
        self.channel = channel
        self.arrivals = arrivals
        port = channel.localAddress?.port ?? 0
    }

    /// - Parameter answersItself: answer every post with 204, and hand it over nevertheless.
    static func start(port: Int = 0, answersItself: Bool = false) async throws -> TestReceiver {
        let arrivals = Mailbox<Arrival>()
        let channel = try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let pipeline = channel.pipeline.syncOperations
                    try pipeline.configureHTTPServerPipeline(withPipeliningAssistance: false)
                    try pipeline.addHandler(Handler(arrivals, answersItself: answersItself))
                }
            }
            .bind(host: "127.0.0.1", port: port).get()
        return TestReceiver(channel, arrivals)
    }

    /// Starts on a port that no outgoing connection of another test can take while this receiver is down.
    static func startToComeBack() async throws -> TestReceiver {
        for _ in 0..<100 {
            if let receiver = try? await start(port: Int.random(in: 20_000..<32_000)) { return receiver }
        }
        return try await start()
    }

    /// Accepts no more connections.
    func stop() async throws { try await channel.close() }

    private final class Handler: ChannelInboundHandler {
        typealias InboundIn = HTTPServerRequestPart

        private let arrivals: Mailbox<Arrival>
        private let answersItself: Bool
        private var head: HTTPRequestHead?
        private var body: [UInt8] = []

        init(_ arrivals: Mailbox<Arrival>, answersItself: Bool) {
            self.arrivals = arrivals
            self.answersItself = answersItself
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            switch unwrapInboundIn(data) {
            case .head(let head):
                self.head = head
                body = []
            case .body(let piece): body.append(contentsOf: piece.readableBytesView)
            case .end:
                guard let head else { return }
                let arrival = Arrival(head: head, body: body, channel: context.channel)
                if answersItself { arrival.answer(204) }
                arrivals.put(arrival)
            }
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
    }
}
