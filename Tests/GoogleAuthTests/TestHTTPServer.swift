import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization

/// A real HTTP server on a free port of this machine; the test says how it answers.
final class TestHTTPServer: Sendable {
    /// A request that arrived whole.
    struct Request: Sendable {
        let method: String
        let uri: String
        let headers: HTTPHeaders
        let body: String
    }

    /// What it is answered with.
    struct Answer: Sendable {
        var status = 200
        var headers: [(String, String)] = []
        var body = ""
        /// Promises more than it sends.
        var neverEnds = false
    }

    let port: Int
    private let channel: any Channel
    private let arrived: Mutex<[Request]>

    private init(_ channel: any Channel) {
        self.channel = channel
        port = channel.localAddress?.port ?? 0
        arrived = Mutex([])
    }

    /// Everything that arrived so far.
    var requests: [Request] { arrived.withLock { $0 } }

    var url: String { "http://127.0.0.1:\(port)" }

    static func start(_ answer: @escaping @Sendable (Request) async -> Answer) async throws -> TestHTTPServer {
        let note = Note()
        let channel = try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let pipeline = channel.pipeline.syncOperations
                    try pipeline.configureHTTPServerPipeline(withPipeliningAssistance: false)
                    try pipeline.addHandler(Handler(note: note, answer: answer))
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        let server = TestHTTPServer(channel)
        note.server.withLock { $0 = server }
        return server
    }

    func stop() async throws { try await channel.close() }

    /// Where the handlers find the server, which is made after them.
    private final class Note: Sendable {
        let server = Mutex<TestHTTPServer?>(nil)
    }

    private final class Handler: ChannelInboundHandler {
        typealias InboundIn = HTTPServerRequestPart

        private let note: Note
        private let answer: @Sendable (Request) async -> Answer
        private var head: HTTPRequestHead?
        private var body = ""

        init(note: Note, answer: @escaping @Sendable (Request) async -> Answer) {
            self.note = note
            self.answer = answer
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            switch unwrapInboundIn(data) {
            case .head(let head):
                self.head = head
                body = ""
            case .body(let piece): body += String(buffer: piece)
            case .end:
                guard let head else { return }
                let request = Request(method: head.method.rawValue, uri: head.uri, headers: head.headers, body: body)
                note.server.withLock { server in server?.arrived.withLock { $0.append(request) } }
                Self.reply(to: request, with: answer, on: context.channel)
            }
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

        private static func reply(
            to request: Request, with answer: @escaping @Sendable (Request) async -> Answer, on channel: any Channel
        ) {
            Task { @concurrent in send(await answer(request), on: channel) }
        }

        private static func send(_ answer: Answer, on channel: any Channel) {
            var headers = HTTPHeaders(answer.headers)
            let length = answer.body.utf8.count + (answer.neverEnds ? 1 : 0)
            headers.replaceOrAdd(name: "content-length", value: "\(length)")
            let head = HTTPResponseHead(
                version: .http1_1, status: HTTPResponseStatus(statusCode: answer.status), headers: headers)
            channel.write(HTTPServerResponsePart.head(head), promise: nil)
            channel.writeAndFlush(
                HTTPServerResponsePart.body(.byteBuffer(ByteBuffer(string: answer.body))), promise: nil)
            if !answer.neverEnds { channel.writeAndFlush(HTTPServerResponsePart.end(nil), promise: nil) }
        }
    }
}
