import Foundation
import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization
import Testing

/// A client that writes bytes and reads bytes, with no opinion on HTTP but how to find the end of a response.
final class TestClient: Sendable {
    struct Response: Sendable, Equatable {
        var status: Int
        var headers: [String: String]
        var body: String

        /// The body as a JSON object.
        func object() throws -> [String: Any] {
            try #require(try JSONSerialization.jsonObject(with: Data(body.utf8)) as? [String: Any], "\(body)")
        }

        /// The code of the error object that the body is.
        func errorCode() throws -> String? {
            let error = try #require(try object()["error"] as? [String: Any])
            #expect(Set(error.keys) == ["message", "type", "param", "code"])
            return error["code"] as? String
        }
    }

    private struct State {
        var received: [UInt8] = []
        var isClosed = false
        var waiter: CheckedContinuation<Void, Never>?
    }

    private final class Inbox: ChannelInboundHandler, Sendable {
        typealias InboundIn = ByteBuffer
        let state = Mutex(State())

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let piece = unwrapInboundIn(data)
            update { $0.received.append(contentsOf: piece.readableBytesView) }
        }

        func channelInactive(context: ChannelHandlerContext) { update { $0.isClosed = true } }

        func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

        private func update(_ change: (inout State) -> Void) {
            let waiter = state.withLock { state in
                change(&state)
                defer { state.waiter = nil }
                return state.waiter
            }
            waiter?.resume()
        }
    }

    private let channel: any Channel
    private let inbox: Inbox

    private init(channel: any Channel, inbox: Inbox) {
        self.channel = channel
        self.inbox = inbox
    }

    static func connect(port: Int) async throws -> TestClient {
        let inbox = Inbox()
        let channel = try await ClientBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .channelInitializer { $0.pipeline.addHandler(inbox) }
            .connect(to: SocketAddress(ipAddress: "127.0.0.1", port: port))
            .get()
        return TestClient(channel: channel, inbox: inbox)
    }

    func send(_ text: String) { channel.writeAndFlush(ByteBuffer(string: text), promise: nil) }

    func send(_ method: String, _ target: String, _ headers: [String] = [], body: String? = nil) {
        let length = body.map { ["Content-Length: \($0.utf8.count)"] } ?? []
        let lines = ["\(method) \(target) HTTP/1.1", "Host: test"] + length + headers
        send(lines.joined(separator: "\r\n") + "\r\n\r\n" + (body ?? ""))
    }

    func close() { channel.close(promise: nil) }

    /// Reads a whole response, which has a length unless it is to `HEAD`; nil if the connection closes before.
    func readResponse(to method: String = "GET") async -> Response? {
        guard let text = await read(until: Array("\r\n\r\n".utf8)) else { return nil }
        let lines = text.split(separator: "\r\n")
        guard let first = lines.first, let status = Int(first.split(separator: " ")[1]) else { return nil }
        var headers: [String: String] = [:]
        for line in lines.dropFirst() {
            let parts = line.split(separator: ":", maxSplits: 1)
            headers[parts[0].lowercased()] = String(parts[1].drop { $0 == " " })
        }
        var response = Response(status: status, headers: headers, body: "")
        if method != "HEAD", status >= 200, let length = headers["content-length"].flatMap({ Int($0) }) {
            guard let body = await read(count: length) else { return nil }
            response.body = body
        }
        return response
    }

    private func read(until mark: [UInt8]) async -> String? {
        while true {
            await wait { $0.isClosed || Self.end(of: mark, in: $0.received) != nil }
            guard let end = inbox.state.withLock({ Self.end(of: mark, in: $0.received) }) else { return nil }
            return await read(count: end)
        }
    }

    private func read(count: Int) async -> String? {
        await wait { $0.isClosed || $0.received.count >= count }
        return inbox.state.withLock { state in
            guard state.received.count >= count else { return nil }
            defer { state.received.removeFirst(count) }
            return String(decoding: state.received[..<count], as: UTF8.self)
        }
    }

    private func wait(until condition: @Sendable @escaping (State) -> Bool) async {
        while !inbox.state.withLock({ condition($0) }) {
            await withCheckedContinuation { continuation in
                let isDone = inbox.state.withLock { state in
                    if condition(state) { return true }
                    state.waiter = continuation
                    return false
                }
                if isDone { continuation.resume() }
            }
        }
    }

    private static func end(of mark: [UInt8], in bytes: [UInt8]) -> Int? {
        guard bytes.count >= mark.count else { return nil }
        for start in 0...(bytes.count - mark.count) where bytes[start..<start + mark.count].elementsEqual(mark) {
            return start + mark.count
        }
        return nil
    }
}

/// A model server that answers everything with `{}` and keeps the heads of what it was asked.
final class TestUpstream: Sendable {
    let requests = Mailbox<HTTPRequestHead>()
    private let channel = Mutex<(any Channel)?>(nil)

    var port: Int { channel.withLock { $0?.localAddress?.port } ?? 0 }

    private init() {}

    static func start() async throws -> TestUpstream {
        let upstream = TestUpstream()
        let channel = try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let pipeline = channel.pipeline.syncOperations
                    try pipeline.configureHTTPServerPipeline(
                        withPipeliningAssistance: false, withErrorHandling: false)
                    try pipeline.addHandler(Handler(upstream: upstream))
                }
            }
            .bind(host: "127.0.0.1", port: 0)
            .get()
        upstream.channel.withLock { $0 = channel }
        return upstream
    }

    func stop() async throws { try await channel.withLock { $0 }?.close() }

    private final class Handler: ChannelInboundHandler {
        typealias InboundIn = HTTPServerRequestPart
        typealias OutboundOut = HTTPServerResponsePart

        private let upstream: TestUpstream

        init(upstream: TestUpstream) { self.upstream = upstream }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            switch unwrapInboundIn(data) {
            case .head(let head): if head.uri.hasPrefix("/v1/") { upstream.requests.put(head) }
            case .body: break
            case .end:
                let head = HTTPResponseHead(
                    version: .http1_1, status: .ok,
                    headers: ["content-type": "application/json", "content-length": "2"])
                context.write(wrapOutboundOut(.head(head)), promise: nil)
                context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(string: "{}")))), promise: nil)
                context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
            }
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
    }
}
