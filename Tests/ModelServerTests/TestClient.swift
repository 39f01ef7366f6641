import NIOCore
import NIOHTTP1
import NIOPosix

/// A plain HTTP/1.1 client for one connection.
struct TestClient: Sendable {
    struct Answer: Sendable {
        var status = 0
        var headers = HTTPHeaders()
        var body = ""
        /// Whether the answer came to its proper end.
        var isWhole = false

        /// The data of the server-sent events.
        var events: [String] {
            body.split(separator: "\n").filter { $0.hasPrefix("data: ") }.map { String($0.dropFirst(6)) }
        }
    }

    private typealias Connection = NIOAsyncChannel<HTTPClientResponsePart, HTTPClientRequestPart>

    /// Sends requests one after the other on one connection and reads the answers.
    static func exchange(port: Int, _ requests: [(HTTPMethod, String, String?)]) async throws -> [Answer] {
        try await connect(port: port).executeThenClose { inbound, outbound in
            var parts = inbound.makeAsyncIterator()
            var answers: [Answer] = []
            for (method, path, body) in requests {
                try await send(method, path, body, to: outbound)
                var answer = Answer()
                while !answer.isWhole, let part = try await parts.next() { answer.take(part) }
                answers.append(answer)
            }
            return answers
        }
    }

    static func get(_ path: String, port: Int) async throws -> Answer {
        try await exchange(port: port, [(.GET, path, nil)])[0]
    }

    static func post(_ path: String, port: Int, _ body: String) async throws -> Answer {
        try await exchange(port: port, [(.POST, path, body)])[0]
    }

    /// Sends a request, hands what comes back to `leave` until that returns true, and closes the connection.
    static func post(
        _ path: String, port: Int, _ body: String, leavingWhen leave: @Sendable (Answer) async throws -> Bool
    ) async throws {
        try await connect(port: port).executeThenClose { inbound, outbound in
            var parts = inbound.makeAsyncIterator()
            try await send(.POST, path, body, to: outbound)
            var answer = Answer()
            while try await !leave(answer), let part = try await parts.next() { answer.take(part) }
        }
    }

    /// Sends raw bytes and reads until the server has sent `count` answers or closed.
    static func raw(port: Int, _ text: String) async throws -> String {
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .connect(host: "127.0.0.1", port: port) { channel in
                channel.eventLoop.makeCompletedFuture {
                    try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel)
                }
            }
        return try await channel.executeThenClose { inbound, outbound in
            try await outbound.write(ByteBuffer(string: text))
            var received = ""
            for try await bytes in inbound { received += String(buffer: bytes) }
            return received
        }
    }

    private static func connect(port: Int) async throws -> Connection {
        try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .connect(host: "127.0.0.1", port: port) { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHTTPClientHandlers()
                    return try Connection(wrappingChannelSynchronously: channel)
                }
            }
    }

    private static func send(
        _ method: HTTPMethod, _ path: String, _ body: String?,
        to outbound: NIOAsyncChannelOutboundWriter<HTTPClientRequestPart>
    ) async throws {
        var headers: HTTPHeaders = ["host": "test", "x-request-id": "r-1"]
        if let body { headers.add(name: "content-length", value: "\(body.utf8.count)") }
        try await outbound.write(.head(HTTPRequestHead(version: .http1_1, method: method, uri: path, headers: headers)))
        if let body { try await outbound.write(.body(.byteBuffer(ByteBuffer(string: body)))) }
        try await outbound.write(.end(nil))
    }
}

extension TestClient.Answer {
    fileprivate mutating func take(_ part: HTTPClientResponsePart) {
        switch part {
        case .head(let head):
            status = Int(head.status.code)
            headers = head.headers
        case .body(let bytes): body += String(buffer: bytes)
        case .end: isWhole = true
        }
    }
}
