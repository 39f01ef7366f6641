import Basics
import NIOCore
import NIOHTTP1

/// Who waits for the answer on an upstream connection. Called on the event loop of both.
protocol UpstreamReceiver: AnyObject {
    func upstreamAnswered(_ head: HTTPResponseHead)
    func upstreamSentBody(_ piece: ByteBuffer)
    /// Everything that was there to read has been handed over; a good moment to flush.
    func upstreamPaused()
    func upstreamEnded()
    /// The connection broke before the end of the answer.
    func upstreamLost()
    /// Whether the connection takes more of the request's body now.
    func upstreamWritabilityChanged(isWritable: Bool)
}

/// One kept-alive connection to an endpoint: sends one request at a time and hands its answer over as it arrives.
final class UpstreamConnection: ChannelDuplexHandler {
    typealias InboundIn = HTTPClientResponsePart
    typealias OutboundIn = Never
    typealias OutboundOut = HTTPClientRequestPart

    let endpoint: UpstreamEndpoint
    private let pool: UpstreamPool
    private let writer: RequestWriter
    private var context: ChannelHandlerContext?
    private var receiver: (any UpstreamReceiver)?
    private var requestHasEnded = true
    private var answerAllowsReuse = false
    private var readIsPaused = false
    private var readIsDue = false
    /// When it was last put away.
    var idleSince = Instant.zero

    /// - Parameter writer: encodes what is sent; in the same pipeline, nearer to the socket.
    init(endpoint: UpstreamEndpoint, pool: UpstreamPool, writer: RequestWriter) {
        self.endpoint = endpoint
        self.writer = writer
        self.pool = pool
    }

    var isOpen: Bool { context?.channel.isActive ?? false }
    var isWritable: Bool { context?.channel.isWritable ?? false }

    // MARK: Sending

    /// Sends a request's head; the answer goes to `receiver`.
    func begin(_ head: HTTPRequestHead, isChunked: Bool, for receiver: any UpstreamReceiver) {
        self.receiver = receiver
        requestHasEnded = false
        answerAllowsReuse = false
        writer.isChunked = isChunked
        context?.write(wrapOutboundOut(.head(head)), promise: nil)
    }

    func send(_ piece: ByteBuffer) { writer.body(piece) }

    func finishRequest() {
        requestHasEnded = true
        writer.end()
    }

    func flush() { context?.flush() }

    /// Closes the connection whatever goes on in it; the receiver hears nothing more.
    func close() {
        receiver = nil
        context?.close(promise: nil)
    }

    /// Whether what the endpoint sends is being read.
    var isReading: Bool { !readIsPaused }

    /// Reads no more, or reads on. A close by the endpoint is noticed either way.
    func setReading(_ isOn: Bool) {
        readIsPaused = !isOn
        if isOn, readIsDue {
            readIsDue = false
            context?.read()
        }
    }

    // MARK: Events

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

    func read(context: ChannelHandlerContext) {
        if readIsPaused { readIsDue = true } else { context.read() }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard let receiver else {
            // Nobody asked: an endpoint that answers without a question is not in step with us.
            context.close(promise: nil)
            return
        }
        switch unwrapInboundIn(data) {
        case .head(let head):
            answerAllowsReuse = head.isKeepAlive
            receiver.upstreamAnswered(head)
        case .body(let piece): receiver.upstreamSentBody(piece)
        case .end:
            self.receiver = nil
            setReading(true)
            // An answer that came before the whole request was sent leaves the rest of it owing: no reuse.
            if answerAllowsReuse, requestHasEnded {
                pool.putBack(self)
            } else {
                context.close(promise: nil)
            }
            receiver.upstreamEnded()
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) { receiver?.upstreamPaused() }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        receiver?.upstreamWritabilityChanged(isWritable: context.channel.isWritable)
    }

    func channelInactive(context: ChannelHandlerContext) {
        pool.forget(self)
        lost()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
        lost()
    }

    private func lost() {
        guard let receiver else { return }
        self.receiver = nil
        receiver.upstreamLost()
    }
}
