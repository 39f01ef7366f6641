import Basics
import InferenceAPI
import NIOCore
import NIOHTTP1

/// A request that the gateway makes for itself: a probe, a question for models, a scrape, a prompt to be tokenized.
final class ControlCall: UpstreamReceiver {
    enum Outcome {
        case answered(status: Int, body: ByteBuffer)
        /// No connection could be opened.
        case unreachable
        /// The answer did not come, not in time, or was too long.
        case failed
    }

    /// Longest page that is read; vLLM's with many models and adapters has some 200 KB.
    private static let bodyLimitBytes = 8 << 20

    private let upstreams: UpstreamPool
    private let endpoint: UpstreamEndpoint
    private let path: String
    /// The JSON to post; nil for a GET.
    private let question: [ByteBuffer]?
    private let completion: (Outcome) -> Void
    private var connection: UpstreamConnection?
    private var isReused = false
    private var timeout: Scheduled<Void>?
    private var status = 0
    private var body = ByteBuffer()
    private var isOver = false

    private init(
        _ path: String, of endpoint: UpstreamEndpoint, asking question: [ByteBuffer]?, over upstreams: UpstreamPool,
        completion: @escaping (Outcome) -> Void
    ) {
        self.path = path
        self.question = question
        self.endpoint = endpoint
        self.upstreams = upstreams
        self.completion = completion
    }

    /// Gets `path` from `endpoint`; `completion` is called once, on the loop.
    static func get(
        _ path: String, from endpoint: UpstreamEndpoint, over upstreams: UpstreamPool, timeout: TimeSpan,
        on eventLoop: any EventLoop, completion: @escaping (Outcome) -> Void
    ) {
        begin(
            ControlCall(path, of: endpoint, asking: nil, over: upstreams, completion: completion), timeout: timeout,
            on: eventLoop)
    }

    /// Posts JSON to `path` of `endpoint`; the same otherwise.
    static func post(
        _ question: [ByteBuffer], to path: String, of endpoint: UpstreamEndpoint, over upstreams: UpstreamPool,
        timeout: TimeSpan, on eventLoop: any EventLoop, completion: @escaping (Outcome) -> Void
    ) {
        begin(
            ControlCall(path, of: endpoint, asking: question, over: upstreams, completion: completion),
            timeout: timeout, on: eventLoop)
    }

    private static func begin(_ call: ControlCall, timeout: TimeSpan, on eventLoop: any EventLoop) {
        let bound = NIOLoopBound(call, eventLoop: eventLoop)
        call.timeout = eventLoop.scheduleTask(in: timeout.timeAmount) { bound.value.timeIsUp() }
        if let connection = call.upstreams.takeIdle(to: call.endpoint) {
            call.isReused = true
            call.send(on: connection)
        } else {
            call.open()
        }
    }

    private func open() {
        isReused = false
        upstreams.connect(to: endpoint) { [self] connection in
            guard !isOver else {
                if let connection { upstreams.putBack(connection) }
                return
            }
            guard let connection else { return end(.unreachable) }
            send(on: connection)
        }
    }

    private func send(on connection: UpstreamConnection) {
        self.connection = connection
        var headers: HTTPHeaders = ["host": endpoint.name, "accept": "*/*"]
        if let question {
            headers.add(name: HeaderName.contentType, value: "application/json")
            headers.add(name: "content-length", value: String(question.reduce(0) { $0 + $1.readableBytes }))
        }
        let head = HTTPRequestHead(
            version: .http1_1, method: question == nil ? .GET : .POST, uri: path, headers: headers)
        connection.begin(head, isChunked: false, for: self)
        for piece in question ?? [] { connection.send(piece) }
        connection.finishRequest()
        connection.flush()
    }

    private func timeIsUp() { end(connection == nil ? .unreachable : .failed) }

    private func end(_ outcome: Outcome) {
        guard !isOver else { return }
        isOver = true
        timeout?.cancel()
        connection?.close()
        connection = nil
        completion(outcome)
    }

    func upstreamAnswered(_ head: HTTPResponseHead) { status = Int(head.status.code) }

    func upstreamSentBody(_ piece: ByteBuffer) {
        guard body.readableBytes + piece.readableBytes <= Self.bodyLimitBytes else { return end(.failed) }
        body.writeImmutableBuffer(piece)
    }

    func upstreamPaused() {}
    func upstreamWritabilityChanged(isWritable: Bool) {}

    func upstreamEnded() {
        connection = nil
        end(.answered(status: status, body: body))
    }

    func upstreamLost() {
        connection = nil
        guard !isOver else { return }
        if isReused, status == 0 { open() } else { end(.failed) }
    }
}
