import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization

/// A request that reached a `TestUpstream`, to be answered by the test.
struct UpstreamRequest: Sendable {
    let head: HTTPRequestHead
    let body: ByteBuffer
    let channel: any Channel

    var text: String { String(buffer: body) }

    /// Sends a whole answer.
    func answer(_ text: String, status: HTTPResponseStatus = .ok, type: String = "application/json") {
        begin(status: status, ["content-type": type, "content-length": String(text.utf8.count)])
        send(text)
        end()
    }

    func begin(status: HTTPResponseStatus = .ok, _ headers: HTTPHeaders = ["content-type": "text/event-stream"]) {
        channel.writeAndFlush(
            HTTPServerResponsePart.head(HTTPResponseHead(version: .http1_1, status: status, headers: headers)),
            promise: nil)
    }

    func send(_ text: String) {
        channel.writeAndFlush(HTTPServerResponsePart.body(.byteBuffer(ByteBuffer(string: text))), promise: nil)
    }

    func end() { channel.writeAndFlush(HTTPServerResponsePart.end(nil), promise: nil) }

    func closeConnection() { channel.close(promise: nil) }

    /// Returns when the connection is gone: what an engine sees of an abort.
    func closed() async throws { try await channel.closeFuture.get() }
}

/// A model server of which the test plays the part: it gets every request and answers when it likes.
final class TestUpstream: Sendable {
    let requests = Mailbox<UpstreamRequest>()
    /// Whether probes and scrapes are answered.
    let answersChecks = Atomic<Bool>(true)
    private let accepted = Atomic<Int>(0)
    private let channel = Mutex<(any Channel)?>(nil)

    var port: Int { channel.withLock { $0?.localAddress?.port } ?? 0 }
    var name: String { "127.0.0.1:\(port)" }
    /// Connections so far.
    var connections: Int { accepted.load(ordering: .relaxed) }

    private init() {}

    /// - Parameters:
    ///   - streamsBodies: hand a request over when its head is there, and read no body.
    ///   - answersItself: answer every request with `{}` instead of handing it over.
    static func start(port: Int = 0, streamsBodies: Bool = false, answersItself: Bool = false) async throws
        -> TestUpstream
    {
        let upstream = TestUpstream()
        let channel = try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    upstream.accepted.add(1, ordering: .relaxed)
                    let pipeline = channel.pipeline.syncOperations
                    try pipeline.configureHTTPServerPipeline(
                        withPipeliningAssistance: false, withErrorHandling: false)
                    try pipeline.addHandler(
                        Handler(upstream: upstream, answersItself: answersItself, streamsBodies: streamsBodies))
                }
            }
            .bind(host: "127.0.0.1", port: port)
            .get()
        upstream.channel.withLock { $0 = channel }
        return upstream
    }

    /// Accepts no more connections.
    func stop() async throws { try await channel.withLock { $0 }?.close() }

    private final class Handler: ChannelInboundHandler {
        typealias InboundIn = HTTPServerRequestPart
        typealias OutboundOut = HTTPServerResponsePart

        private let upstream: TestUpstream
        private let answersItself: Bool
        private let streamsBodies: Bool
        private var head: HTTPRequestHead?
        private var body = ByteBuffer()

        init(upstream: TestUpstream, answersItself: Bool, streamsBodies: Bool) {
            self.upstream = upstream
            self.answersItself = answersItself
            self.streamsBodies = streamsBodies
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            switch unwrapInboundIn(data) {
            case .head(let head):
                self.head = head
                body.clear()
                guard streamsBodies, head.method == .POST else { return }
                context.channel.setOption(.autoRead, value: false).assumeIsolated().whenComplete { _ in }
                handOver(head, context)
            case .body(var piece): body.writeBuffer(&piece)
            case .end:
                guard let head, !(streamsBodies && head.method == .POST) else { return }
                handOver(head, context)
            }
        }

        private func handOver(_ head: HTTPRequestHead, _ context: ChannelHandlerContext) {
            let request = UpstreamRequest(head: head, body: body, channel: context.channel)
            switch head.uri {
            case "/health" where !upstream.answersChecks.load(ordering: .relaxed),
                "/metrics" where !upstream.answersChecks.load(ordering: .relaxed):
                break
            case "/health": request.answer("{}")
            case "/metrics": request.answer("", status: .notFound, type: "text/plain")
            case "/v1/models": request.answer(#"{"object":"list","data":[{"id":"found"}]}"#)
            default:
                if answersItself { request.answer("{}") } else { upstream.requests.put(request) }
            }
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
    }
}
