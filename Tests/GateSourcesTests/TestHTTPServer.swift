import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization

/// A real HTTP server on a port of this machine; the test says how it answers.
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
        var body = ""
        /// Promises more than it sends.
        var neverEnds = false
    }

    typealias Answering = @Sendable (Request) async -> Answer

    let port: Int
    private let channel: any Channel
    private let log: Log

    private init(_ channel: any Channel, _ log: Log) {
        self.channel = channel
        self.log = log
        port = channel.localAddress?.port ?? 0
    }

    /// Everything that arrived so far.
    var requests: [Request] { log.requests.withLock { $0 } }

    /// The most requests that were being answered at the same time.
    var mostAtOnce: Int { log.load.withLock { $0.most } }

    var url: String { "http://127.0.0.1:\(port)" }

    static func start(port: Int = 0, _ answer: @escaping Answering) async throws -> TestHTTPServer {
        let log = Log()
        let channel = try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    log.connections.withLock { $0.append(channel) }
                    let pipeline = channel.pipeline.syncOperations
                    try pipeline.configureHTTPServerPipeline(withPipeliningAssistance: false)
                    try pipeline.addHandler(Handler(log: log, answer: answer))
                }
            }
            .bind(host: "127.0.0.1", port: port).get()
        return TestHTTPServer(channel, log)
    }

    /// Accepts no more connections and closes those there are.
    func stop() async throws {
        try await channel.close()
        for connection in log.connections.withLock({ $0 }) { connection.close(promise: nil) }
    }

    private final class Log: Sendable {
        let requests = Mutex<[Request]>([])
        let connections = Mutex<[any Channel]>([])
        let load = Mutex((now: 0, most: 0))
    }

    private final class Handler: ChannelInboundHandler {
        typealias InboundIn = HTTPServerRequestPart

        private let log: Log
        private let answer: Answering
        private var head: HTTPRequestHead?
        private var body = ""

        init(log: Log, answer: @escaping Answering) {
            self.log = log
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
                log.requests.withLock { $0.append(request) }
                log.load.withLock { load in
                    load.now += 1
                    load.most = max(load.most, load.now)
                }
                Self.reply(to: request, with: answer, on: context.channel, log)
            }
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

        private static func reply(
            to request: Request, with answer: @escaping Answering, on channel: any Channel, _ log: Log
        ) {
            Task { @concurrent in
                let reply = await answer(request)
                log.load.withLock { $0.now -= 1 }
                send(reply, on: channel)
            }
        }

        private static func send(_ answer: Answer, on channel: any Channel) {
            let length = answer.body.utf8.count + (answer.neverEnds ? 1 : 0)
            let head = HTTPResponseHead(
                version: .http1_1, status: HTTPResponseStatus(statusCode: answer.status),
                headers: ["content-length": "\(length)"])
            channel.write(HTTPServerResponsePart.head(head), promise: nil)
            channel.writeAndFlush(
                HTTPServerResponsePart.body(.byteBuffer(ByteBuffer(string: answer.body))), promise: nil)
            if !answer.neverEnds { channel.writeAndFlush(HTTPServerResponsePart.end(nil), promise: nil) }
        }
    }
}

/// A port that nobody listens on at the moment.
func freePort() async throws -> Int {
    let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
        .bind(host: "127.0.0.1", port: 0).get()
    let port = channel.localAddress?.port ?? 0
    try await channel.close()
    return port
}
