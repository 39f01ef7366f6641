import NIOCore
import NIOPosix
import Synchronization

/// A client that writes bytes and reads bytes, with no opinion on HTTP but how to find the end of a response.
final class TestClient: Sendable {
    struct Response: Sendable {
        var status: Int
        var headers: [String: String]
        var body: String
    }

    private struct State {
        var received: [UInt8] = []
        var isClosed = false
        var waiter: (id: Int, CheckedContinuation<Void, Never>)?
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
            waiter?.1.resume()
        }
    }

    private let channel: any Channel
    private let inbox: Inbox

    private init(channel: any Channel, inbox: Inbox) {
        self.channel = channel
        self.inbox = inbox
    }

    static func connect(port: Int, autoRead: Bool = true) async throws -> TestClient {
        let inbox = Inbox()
        let channel = try await ClientBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .channelOption(.autoRead, value: autoRead)
            .channelInitializer { $0.pipeline.addHandler(inbox) }
            .connect(to: SocketAddress(ipAddress: "127.0.0.1", port: port))
            .get()
        return TestClient(channel: channel, inbox: inbox)
    }

    func send(_ text: String) { channel.writeAndFlush(ByteBuffer(string: text), promise: nil) }

    func sendAndWait(_ buffer: ByteBuffer) async throws { try await channel.writeAndFlush(buffer) }

    /// Sends a POST with a JSON body.
    func post(_ body: String, path: String = "/v1/chat/completions", headers: [String] = []) {
        let lines = ["POST \(path) HTTP/1.1", "Host: test", "Content-Length: \(body.utf8.count)"] + headers
        send(lines.joined(separator: "\r\n") + "\r\n\r\n" + body)
    }

    func startReading() async throws { try await channel.setOption(.autoRead, value: true).get() }

    func close() { channel.close(promise: nil) }

    var isClosed: Bool { inbox.state.withLock { $0.isClosed } }

    /// Bytes received and not read yet.
    var bufferedBytes: Int { inbox.state.withLock { $0.received.count } }

    /// Waits until the server closes; returns what was received and not read.
    func readToEnd() async -> String {
        await wait { $0.isClosed }
        return inbox.state.withLock { state in
            defer { state.received = [] }
            return String(decoding: state.received, as: UTF8.self)
        }
    }

    /// Reads up to and including `mark`; nil if the connection closes before.
    func read(until mark: String) async -> String? {
        let bytes = Array(mark.utf8)
        while true {
            await wait { $0.isClosed || Self.end(of: bytes, in: $0.received) != nil }
            return inbox.state.withLock { state in
                guard let end = Self.end(of: bytes, in: state.received) else { return nil }
                defer { state.received.removeFirst(end) }
                return String(decoding: state.received[..<end], as: UTF8.self)
            }
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

    /// Reads a head.
    func readHead() async -> Response? {
        guard let text = await read(until: "\r\n\r\n") else { return nil }
        let lines = text.split(separator: "\r\n")
        guard let first = lines.first, let status = Int(first.split(separator: " ")[1]) else { return nil }
        var headers: [String: String] = [:]
        for line in lines.dropFirst() {
            let parts = line.split(separator: ":", maxSplits: 1)
            headers[parts[0].lowercased()] = String(parts[1].drop { $0 == " " })
        }
        return Response(status: status, headers: headers, body: "")
    }

    /// Reads a whole response.
    func readResponse() async -> Response? {
        guard var response = await readHead() else { return nil }
        if let length = response.headers["content-length"].flatMap({ Int($0) }) {
            guard let body = await read(count: length) else { return nil }
            response.body = body
        } else if response.headers["transfer-encoding"] == "chunked" {
            while true {
                guard let line = await read(until: "\r\n"), let size = Int(line.dropLast(), radix: 16),
                    let piece = await read(count: size + 2)
                else { return nil }
                if size == 0 { break }
                response.body += piece.dropLast()
            }
        } else {
            response.body = await readToEnd()
        }
        return response
    }

    private func wait(until condition: @Sendable @escaping (State) -> Bool) async {
        while !inbox.state.withLock({ condition($0) }) {
            await withCheckedContinuation { continuation in
                let isDone = inbox.state.withLock { state in
                    if condition(state) { return true }
                    precondition(state.waiter == nil, "one reader at a time")
                    state.waiter = (0, continuation)
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
