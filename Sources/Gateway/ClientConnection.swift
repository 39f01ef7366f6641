import Basics
import InferenceAPI
import NIOCore
import NIOHTTP1
import Synchronization

/// One client's connection: reads requests one after the other, hands each to an exchange, and writes its answer.
///
/// A request that arrives while one is being answered waits here as far as it was read in one go, and the rest in the
/// kernel's buffer; reading goes on when its turn comes. The kernel tells of a client that leaves even while nothing is
/// read. A client that closes its sending side counts as gone, as with other proxies: HTTP clients do not do that
/// while they wait.
final class ClientConnection: ChannelDuplexHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundIn = Never
    typealias OutboundOut = ByteBuffer

    /// How long a client may take to read an error before its unread request is cut off.
    private static let lingerLimit = TimeSpan.seconds(2)

    /// Most parts of requests (two or three each) that wait here. One read can hold thousands of tiny requests, each of which
    /// takes a hundred times its size once it is parsed.
    private static let pendingLimit = 1024

    private enum Phase {
        /// Between requests, or within a request's head.
        case idle
        /// A request is being read or answered.
        case busy
        /// The last answer has been written; what still arrives is thrown away until the client closes.
        case lingering(since: Instant)
        case closed
    }

    private let loop: LoopContext
    private let isTrusted: Bool
    private var context: ChannelHandlerContext?
    private var phase = Phase.idle
    private var request: RequestReader?
    private var pending = CircularBuffer<HTTPServerRequestPart>()
    private var pendingError: APIError?
    private var isWorkingOff = false
    private var readIsAllowed = true
    private var readIsDue = false
    private var idleSince: Instant
    private var headBegan: Instant?
    private var headBytes = 0
    private var stalledSince: Instant?
    private var closesAfterAnswer = false
    private var writer = MessageWriter()
    /// Completed when the answer that is being written has gone out, or never will.
    private var sent: EventLoopPromise<Void>?

    init(loop: LoopContext, isTrusted: Bool) {
        self.loop = loop
        self.isTrusted = isTrusted
        idleSince = GatewayClock.now()
    }

    private var limits: GatewayLimits { loop.core.limits }
    private var isDraining: Bool { loop.core.isDraining.load(ordering: .relaxed) }

    // MARK: Life

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        loop.add(self)
        loop.core.openConnections.add(1, ordering: .relaxed)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        loop.remove(self)
        loop.core.openConnections.subtract(1, ordering: .relaxed)
    }

    func channelInactive(context: ChannelHandlerContext) {
        phase = .closed
        pending.removeAll()
        let leaving = request
        request = nil
        leaving?.clientLeft()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard let parserError = error as? HTTPParserError, parserError != .invalidEOFState else {
            context.close(promise: nil)
            return
        }
        let isHeadTooLong = parserError == .headerOverflow
        refuse(
            isHeadTooLong
                ? .headersTooLarge(limitBytes: limits.headerBytes) : .malformedRequest("is not valid HTTP/1.1"))
    }

    func checkTime(now: Instant) {
        if let stalledSince, now - stalledSince > limits.clientStallTimeout { return close() }
        switch phase {
        case .idle:
            if let headBegan {
                if now - headBegan > limits.headTimeout { refuse(.requestTimeout(after: limits.headTimeout)) }
            } else if now - idleSince > limits.keepAliveIdle {
                close()
            }
        case .lingering(let since):
            if now - since > Self.lingerLimit { close() }
        case .busy: request?.checkTime(now: now, limits: limits)
        case .closed: break
        }
    }

    func beginDrain() {
        if case .idle = phase, headBytes == 0 { close() } else { request?.beginDrain() }
    }

    func endDrain() { request?.endDrain() }

    func close() { context?.close(promise: nil) }

    // MARK: Reading

    /// Bytes came in, before they are parsed. Says whether they should be.
    func bytesArrived(_ count: Int) -> Bool {
        switch phase {
        case .idle:
            if headBegan == nil { headBegan = GatewayClock.now() }
            headBytes += count
            return true
        case .busy: return true
        case .lingering, .closed: return false
        }
    }

    func read(context: ChannelHandlerContext) {
        if readIsAllowed { context.read() } else { readIsDue = true }
    }

    private func allowReading(_ isAllowed: Bool) {
        readIsAllowed = isAllowed
        if isAllowed, readIsDue {
            readIsDue = false
            context?.read()
        }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let part = unwrapInboundIn(data)
        if let request, request.isRead || isWorkingOff {
            // Once more has arrived than one answer can use, nothing more is read. Before that reading goes on, as to stop
            // and start it would cost two system calls for each request.
            pending.append(part)
            allowReading(false)
            if pending.count > Self.pendingLimit { close() }
        } else {
            take(part)
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        request?.clientPaused()
        // A head that is not complete after so many bytes never will be: its request line alone is too long.
        if case .idle = phase, headBytes > limits.headerBytes + (64 << 10) {
            refuse(.headersTooLarge(limitBytes: limits.headerBytes))
        }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        let isWritable = context.channel.isWritable
        stalledSince = isWritable ? nil : GatewayClock.now()
        request?.clientWritabilityChanged(isWritable: isWritable)
    }

    private func take(_ part: HTTPServerRequestPart) {
        switch part {
        case .head(let head): begin(head)
        case .body(let piece): request?.bodyArrived(piece)
        case .end:
            request?.bodyEnded()
        }
    }

    private func begin(_ head: HTTPRequestHead) {
        guard case .idle = phase else { return }
        phase = .busy
        headBegan = nil
        headBytes = 0
        let request = RequestReader(head, loop: loop, isTrusted: isTrusted, connection: self)
        self.request = request
        closesAfterAnswer = request.isLast
        if request.expectsContinue {
            context?.writeAndFlush(
                wrapOutboundOut(ByteBuffer(string: "HTTP/1.1 100 Continue\r\n\r\n")), promise: nil)
        }
        request.begin()
    }

    /// Takes up what was read together with the request before.
    private func workOff() {
        guard !isWorkingOff else { return }
        isWorkingOff = true
        while request?.isRead != true, let part = pending.popFirst() { take(part) }
        isWorkingOff = false
        guard pending.isEmpty, request?.isRead != true else { return }
        if let error = pendingError { refuse(error) } else { allowReading(true) }
    }

    /// The connection carries something that is not a request, or not in time: says so and closes.
    private func refuse(_ error: APIError) {
        switch phase {
        case .idle:
            closesAfterAnswer = true
            phase = .busy
            pending.removeAll()
            writeError(error, requestID: loop.makeRequestID())
        case .busy:
            if let request, !request.isRead {
                closesAfterAnswer = true
                request.refuse(error)
            } else {
                // The requests before it are answered first.
                pendingError = error
            }
        case .lingering, .closed: break
        }
    }

    // MARK: Writing

    private func writeBody(_ piece: ByteBuffer) {
        if let context { writer.body(piece, to: context) }
    }

    private func writeError(_ error: APIError, requestID: String) {
        var headers = HTTPHeaders()
        for (name, value) in error.headers { headers.add(name: name, value: value) }
        writeWhole(status: error.status, headers, error.jsonBody(), requestID: requestID)
    }

    /// Answers the current request with a body that is at hand.
    func writeWhole(status: Int, _ headers: HTTPHeaders, _ body: [UInt8], requestID: String) {
        writeWhole(status: status, headers, ByteBuffer(bytes: body), requestID: requestID, sent: nil)
    }

    /// The same; `sent` is told when the whole answer has gone out, or never will.
    func writeWhole(
        status: Int, _ headers: HTTPHeaders, _ body: ByteBuffer, requestID: String, sent: EventLoopPromise<Void>?
    ) {
        self.sent = sent
        var headers = headers
        headers.add(name: HeaderName.requestID, value: requestID)
        headers.add(name: HeaderName.contentLength, value: String(body.readableBytes))
        writeHead(status: HTTPResponseStatus(statusCode: status), headers, isChunked: false)
        if request?.head.method != .HEAD { writeBody(body) }
        endAnswer()
    }

    /// Begins a stream of events that goes on until `answerEnded`.
    func beginEventStream(requestID: String) {
        var headers: HTTPHeaders = ["content-type": "text/event-stream", "cache-control": "no-store"]
        headers.add(name: HeaderName.requestID, value: requestID)
        let isChunked = request?.head.version != .http1_0
        if isChunked { BodyFraming.chunked.write(to: &headers) } else { closesAfterAnswer = true }
        writeHead(status: .ok, headers, isChunked: isChunked)
    }

    private func writeHead(status: HTTPResponseStatus, _ headers: HTTPHeaders, isChunked: Bool) {
        var headers = headers
        // With the rest of a request unread the next one could not be found.
        closesAfterAnswer = closesAfterAnswer || isDraining || request?.isRead != true
        if closesAfterAnswer {
            headers.add(name: "connection", value: "close")
        } else if request?.head.version == .http1_0 {
            headers.add(name: "connection", value: "keep-alive")
        }
        writer.begin(status, headers, isChunked: isChunked)
    }

    /// Writes the end of an answer and turns to the next request, or closes once everything has gone out.
    private func endAnswer() {
        let told = sent
        sent = nil
        guard let context else {
            told?.succeed()
            return
        }
        let isUnread = request?.isRead != true
        request = nil
        writer.end()
        guard closesAfterAnswer || isDraining || isUnread else {
            writer.pass(to: context, promise: told)
            context.flush()
            phase = .idle
            idleSince = GatewayClock.now()
            return workOff()
        }
        phase = .lingering(since: GatewayClock.now())
        pending.removeAll()
        let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
        let sent = context.eventLoop.makePromise(of: Void.self)
        if let told { sent.futureResult.cascade(to: told) }
        // With bytes unread a plain close would reset the connection, and the client might never see the answer: then
        // only the sending side closes, and the client is given a moment to read.
        sent.futureResult.whenComplete { _ in bound.value.close(mode: isUnread ? .output : .all, promise: nil) }
        writer.pass(to: context, promise: sent)
        context.flush()
        if isUnread { allowReading(true) }
    }
}

// MARK: - The answer

extension ClientConnection: ExchangeSink {
    var isWritable: Bool { context?.channel.isWritable ?? true }

    func setReading(_ isOn: Bool) { allowReading(isOn) }

    func answerBegan(_ answer: AnswerHead) {
        var headers = MessageHeaders.answerHeaders(
            of: answer.head, requestID: answer.requestID, isEventStream: answer.isEventStream)
        if isTrusted { headers.add(name: HeaderName.endpoint, value: answer.endpoint) }
        let length = answer.head.headers.first(name: HeaderName.contentLength)
        let status = answer.head.status
        var isChunked = false
        if request?.head.method == .HEAD || status == .notModified || status == .noContent {
            if let length, status != .noContent { headers.add(name: HeaderName.contentLength, value: length) }
        } else if let length {
            headers.add(name: HeaderName.contentLength, value: length)
        } else if request?.head.version == .http1_0 {
            // Only the end of the connection can mark the end of the body.
            closesAfterAnswer = true
        } else {
            BodyFraming.chunked.write(to: &headers)
            isChunked = true
        }
        writeHead(status: status, headers, isChunked: isChunked)
    }

    func answerBody(_ piece: ByteBuffer) { writeBody(piece) }

    func answerFlush() {
        guard let context else { return }
        writer.pass(to: context)
        context.flush()
    }

    func answerEnded() { endAnswer() }

    func answerFailed(_ failure: ExchangeFailure, _ error: APIError, requestID: String) {
        writeError(error, requestID: requestID)
    }

    func answerAbandoned() {}

    func answerCut(_ failure: ExchangeFailure, _ error: APIError, isEventStream: Bool, atEventBoundary: Bool) {
        guard isEventStream else { return close() }
        if !atEventBoundary { writeBody(ByteBuffer(string: "\n\n")) }
        writeBody(ByteBuffer(bytes: error.streamEvent()))
        endAnswer()
    }
}
