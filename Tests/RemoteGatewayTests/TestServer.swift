import NIOCore
import NIOHTTP1
import NIOHTTP2
import NIOPosix
import NIOSSL

/// A request that reached a `TestServer`, to be answered by the test.
struct Arrival: Sendable {
    let head: HTTPRequestHead
    let body: [UInt8]
    /// The connection, or with HTTP/2 the stream.
    let channel: any Channel

    var text: String { String(decoding: body, as: UTF8.self) }

    func header(_ name: String) -> String? { head.headers.first(name: name) }

    /// Sends a whole answer.
    func answer(_ text: String, status: Int = 200, _ headers: HTTPHeaders = ["content-type": "application/json"]) {
        var headers = headers
        headers.add(name: "content-length", value: String(text.utf8.count))
        begin(status, headers)
        send(text)
        channel.writeAndFlush(HTTPServerResponsePart.end(nil), promise: nil)
    }

    func begin(_ status: Int, _ headers: HTTPHeaders) {
        let head = HTTPResponseHead(
            version: .http1_1, status: HTTPResponseStatus(statusCode: status), headers: headers)
        channel.writeAndFlush(HTTPServerResponsePart.head(head), promise: nil)
    }

    func send(_ text: String) {
        channel.writeAndFlush(HTTPServerResponsePart.body(.byteBuffer(ByteBuffer(string: text))), promise: nil)
    }

    func hangUp() { channel.close(promise: nil) }

    /// Returns when the connection, or the stream, is gone.
    func closed() async throws { try await channel.closeFuture.get() }
}

/// A real HTTP server that plays the gateway; the test decides how each request is answered.
final class TestServer: Sendable {
    enum Protocols { case http1, http2 }

    let arrivals: Mailbox<Arrival>
    /// The certificates that clients have shown, one entry for each connection.
    let clients: Mailbox<Bool>
    let port: Int
    private let channel: any Channel

    private init(_ channel: any Channel, _ arrivals: Mailbox<Arrival>, _ clients: Mailbox<Bool>) {
        self.channel = channel
        self.arrivals = arrivals
        self.clients = clients
        port = channel.localAddress?.port ?? 0
    }

    /// - Parameters:
    ///   - tls: speaks TLS with these settings.
    ///   - answersItself: answers every request with this text, and hands none over. Checks of health are always answered.
    static func start(
        tls: TLSConfiguration? = nil, protocols: Protocols = .http1, answersItself: String? = nil
    ) async throws -> TestServer {
        let arrivals = Mailbox<Arrival>()
        let clients = Mailbox<Bool>()
        let context = try tls.map { try NIOSSLContext(configuration: $0) }
        let channel = try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .serverChannelOption(.backlog, value: 1024)
            .childChannelOption(.socketOption(.tcp_nodelay), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let pipeline = channel.pipeline.syncOperations
                    if let context { try pipeline.addHandler(NIOSSLServerHandler(context: context)) }
                    clients.put(true)
                    switch protocols {
                    case .http1:
                        try pipeline.configureHTTPServerPipeline(withPipeliningAssistance: false)
                        try pipeline.addHandler(Handler(arrivals, answersItself: answersItself))
                    case .http2:
                        _ = try pipeline.configureHTTP2Pipeline(
                            mode: .server, connectionConfiguration: .init(), streamConfiguration: .init()
                        ) { stream in
                            stream.eventLoop.makeCompletedFuture {
                                try stream.pipeline.syncOperations.addHandlers(
                                    HTTP2FramePayloadToHTTP1ServerCodec(),
                                    Handler(arrivals, answersItself: answersItself))
                            }
                        }
                    }
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        return TestServer(channel, arrivals, clients)
    }

    /// Accepts no more connections.
    func stop() async throws { try await channel.close() }

    /// A port on which nobody listens.
    static func unusedPort() async throws -> Int {
        let server = try await start()
        let port = server.port
        try await server.stop()
        return port
    }

    private final class Handler: ChannelInboundHandler {
        typealias InboundIn = HTTPServerRequestPart

        private let arrivals: Mailbox<Arrival>
        private let answersItself: String?
        private var head: HTTPRequestHead?
        private var body: [UInt8] = []

        init(_ arrivals: Mailbox<Arrival>, answersItself: String?) {
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
                if let answersItself {
                    arrival.answer(answersItself)
                } else if head.uri == "/health" {
                    arrival.answer("{}")
                } else {
                    arrivals.put(arrival)
                }
            }
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
    }
}
