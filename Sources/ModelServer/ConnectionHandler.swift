import EngineModel
import FoundationEssentials
import InferenceAPI
import NIOCore
import NIOHTTP1

/// One client connection of a replica: reads requests, writes answers, and tells the replica when the client leaves.
///
/// The pipeline in front delivers one request at a time and notices a closed socket even while nothing is read.
final class ConnectionHandler: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    /// A client that leaves so many tokens of a stream unread is cut off.
    private static let unreadTokenLimit = 16_384
    private static let adminBodyLimit = 64 << 10
    /// How long the rest of a request is read and thrown away before a refused connection closes.
    private static let lingering = TimeAmount.milliseconds(500)

    private enum State {
        case idle
        /// Reading the body of a request for a completion.
        case scanning(isChat: Bool)
        /// Collecting the body of an administrative request.
        case collecting
        /// Ignoring the body; the answer follows its end.
        case skipping
        /// The answer is out already, the rest of the request is of no use.
        case discarding
        /// A job is under way.
        case answering(InferenceJob)
        /// Silent on purpose, until the client leaves.
        case hung
    }

    private let replica: Replica
    private var context: ChannelHandlerContext?
    private var state = State.idle
    private var head: HTTPRequestHead?
    private var keepsAlive = true
    private var scanner = RequestBodyScanner()
    private var hasher: PromptBlockHasher
    private var bodyBytes = 0
    private var collected: [UInt8] = []
    private var unreadTokens = 0

    init(replica: Replica) {
        self.replica = replica
        hasher = PromptBlockHasher(blockSizeTokens: replica.configuration.engine.blockSizeTokens)
    }

    // MARK: Channel events

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        replica.opened(self)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        leave()
        self.context = nil
    }

    func channelInactive(context: ChannelHandlerContext) {
        leave()
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        leave()
        context.close(promise: nil)
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable { unreadTokens = 0 }
        context.fireChannelWritabilityChanged()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head): begin(head, context: context)
        case .body(let bytes): read(bytes)
        case .end: end()
        }
    }

    /// Closes the connection; its job, if any, is dropped.
    func close() { context?.close(promise: nil) }

    /// When the connection is gone.
    var closeFuture: EventLoopFuture<Void>? { context?.channel.closeFuture }

    private func leave() {
        replica.closed(self)
        let state = state
        self.state = .idle
        if case .answering(let job) = state { replica.cancel(job) }
    }

    // MARK: Requests

    private func begin(_ head: HTTPRequestHead, context: ChannelHandlerContext) {
        self.head = head
        keepsAlive = head.isKeepAlive
        bodyBytes = 0
        switch (head.method, path) {
        case (.POST, "/v1/chat/completions"), (.POST, "/v1/completions"):
            scanner = RequestBodyScanner()
            hasher = PromptBlockHasher(blockSizeTokens: replica.configuration.engine.blockSizeTokens)
            state = .scanning(isChat: path == "/v1/chat/completions")
        case (.POST, "/admin/faults"):
            collected = []
            state = .collecting
        default:
            state = .skipping
        }
        if let length = head.headers.first(name: "content-length").flatMap({ Int($0) }), length > bodyLimit {
            refuse(.bodyTooLarge(limit: bodyLimit))
        } else if head.headers.first(name: "expect")?.lowercased() == "100-continue" {
            let interim = HTTPResponseHead(version: head.version, status: .continue)
            context.writeAndFlush(wrapOutboundOut(.head(interim)), promise: nil)
        }
    }

    private func read(_ bytes: ByteBuffer) {
        if case .discarding = state { return }
        bodyBytes += bytes.readableBytes
        guard bodyBytes <= bodyLimit else {
            refuse(.bodyTooLarge(limit: bodyLimit))
            return
        }
        switch state {
        case .scanning:
            bytes.withUnsafeReadableBytes { region in
                scanner.consume(region)
                if replica.configuration.engine.prefixCaching { hasher.consume(region) }
            }
        case .collecting: collected += bytes.readableBytesView
        default: break
        }
    }

    private func end() {
        switch state {
        case .scanning(let isChat): receive(isChat: isChat)
        case .collecting: changeFaults()
        case .skipping: answerPlainly()
        case .discarding: close()
        case .idle, .answering, .hung: break
        }
    }

    private func receive(isChat: Bool) {
        scanner.finish()
        hasher.finish()
        if let defect = scanner.malformed {
            refuse(.badRequest("The request body \(defect)."))
            return
        }
        let created = Int64(Date().timeIntervalSince1970)
        switch replica.receive(scanner.facts, hashes: hasher.hashes, isChat: isChat, created: created, from: self) {
        case .refused(let error): refuse(error)
        case .hung: state = .hung
        case .accepted(let job):
            state = .answering(job)
            // As in vLLM, the head of a stream is out before the first token.
            if job.isStreaming, replica.configuration.mode == .engine { writeStreamHead() }
        }
    }

    private func answerPlainly() {
        guard let head else { return }
        switch (head.method, path) {
        case (.GET, "/health"): answer(.ok, "text/plain", [])
        case (.GET, "/v1/models"): answer(.ok, "application/json", modelList)
        case (.GET, "/metrics"):
            answer(.ok, "text/plain; version=0.0.4; charset=utf-8", Array(replica.metricsText.utf8))
        case (.GET, "/admin/faults"): answerWithFaults()
        case (_, "/health"), (_, "/v1/models"), (_, "/metrics"), (_, "/admin/faults"), (_, "/v1/chat/completions"),
            (_, "/v1/completions"):
            refuse(.methodNotAllowed(head.method))
        default: refuse(.notFound("There is nothing at '\(path.prefix(128))'."))
        }
    }

    private func changeFaults() {
        guard isFromLoopback else {
            refuse(ServerError(status: .forbidden, type: "ForbiddenError", message: "Only for this machine."))
            return
        }
        do {
            replica.faults = try JSONDecoder().decode(FaultPlan.self, from: Data(collected))
            answerWithFaults()
        } catch DecodingError.dataCorrupted(let defect) {
            refuse(.badRequest("The body is no plan of faults: \(defect.debugDescription)."))
        } catch {
            refuse(.badRequest("The body is no plan of faults: every value must be a whole number."))
        }
    }

    private func answerWithFaults() {
        guard let json = try? JSONEncoder().encode(replica.faults) else {
            refuse(
                ServerError(status: .internalServerError, type: "InternalServerError", message: "No faults to show."))
            return
        }
        answer(.ok, "application/json", Array(json))
    }

    private var bodyLimit: Int {
        if case .collecting = state { return Self.adminBodyLimit }
        return replica.configuration.maxBodyBytes
    }

    private var path: Substring { head.map { $0.uri.prefix { $0 != "?" } } ?? "" }

    private var isFromLoopback: Bool {
        guard let address = context?.remoteAddress?.ipAddress else { return false }
        return address.hasPrefix("127.") || address == "::1" || address.hasPrefix("::ffff:127.")
    }

    private var modelList: [UInt8] {
        var json = Array("{\"object\":\"list\",\"data\":[".utf8)
        for (position, model) in replica.configuration.models.enumerated() {
            json += Array((position == 0 ? "{\"id\":" : ",{\"id\":").utf8)
            JSONText.appendString(model, to: &json)
            json += Array(",\"object\":\"model\",\"created\":0,\"owned_by\":\"vllm\",\"root\":".utf8)
            JSONText.appendString(model, to: &json)
            json += Array(",\"parent\":null,\"max_model_len\":\(replica.configuration.maxModelTokens)}".utf8)
        }
        return json + Array("]}".utf8)
    }
}

/// Answers.
extension ConnectionHandler {
    /// Sends the event of the token just produced.
    func sendToken(of job: InferenceJob) {
        guard let context else { return }
        var buffer = context.channel.allocator.buffer(capacity: 512)
        if job.generatedTokens == 1 { job.writer.appendOpening(to: &buffer) }
        let isLast = job.generatedTokens == job.outputTokens
        job.writer.appendToken(
            job.generatedTokens - 1, finishReason: isLast ? job.finishReason : nil, to: &buffer)
        // The last token leaves together with what ends the stream.
        write(.body(.byteBuffer(buffer)), flush: !isLast)
        guard !context.channel.isWritable else { return }
        unreadTokens += 1
        if unreadTokens > Self.unreadTokenLimit { close() }
    }

    /// Ends the answer of a job whose last token is out.
    func complete(_ job: InferenceJob, usage: TokenUsage) {
        guard let context else { return }
        state = .idle
        if job.isStreaming {
            var buffer = context.channel.allocator.buffer(capacity: 512)
            job.writer.appendClosing(usage: job.includesUsage ? usage : nil, to: &buffer)
            write(.body(.byteBuffer(buffer)), flush: false)
            endResponse()
        } else {
            var buffer = context.channel.allocator.buffer(capacity: 512 + 8 * job.outputTokens)
            job.writer.appendWhole(usage: usage, finishReason: job.finishReason, to: &buffer)
            answer(.ok, "application/json", buffer)
        }
    }

    /// Sends the whole answer of a job of which nothing is out yet.
    func completeAtOnce(_ job: InferenceJob) {
        guard let context else { return }
        if job.isStreaming {
            writeStreamHead(flush: false)
            var buffer = context.channel.allocator.buffer(capacity: 512 + 256 * job.outputTokens)
            job.writer.appendOpening(to: &buffer)
            for position in 0..<job.outputTokens {
                let isLast = position == job.outputTokens - 1
                job.writer.appendToken(position, finishReason: isLast ? job.finishReason : nil, to: &buffer)
            }
            write(.body(.byteBuffer(buffer)), flush: false)
        }
        complete(job, usage: job.usage(cachedTokens: 0))
    }

    /// Closes the connection in the middle of an answer.
    func breakOff() {
        state = .idle
        close()
    }

    private func refuse(_ error: ServerError) {
        if error.closesConnection { keepsAlive = false }
        var headers = HTTPHeaders()
        if error.retryAfterSeconds > 0 { headers.add(name: "retry-after", value: "\(error.retryAfterSeconds)") }
        let requestIsRead: Bool
        switch state {
        case .scanning, .collecting, .skipping: requestIsRead = !error.closesConnection
        default: requestIsRead = true
        }
        guard let context else { return }
        var buffer = context.channel.allocator.buffer(capacity: 256)
        buffer.writeBytes(error.body)
        if requestIsRead {
            answer(error.status, "application/json", buffer, headers: headers)
        } else {
            // Closing with unread bytes would reset the connection and could destroy the answer on its way.
            state = .discarding
            answer(error.status, "application/json", buffer, headers: headers, closes: false)
            context.eventLoop.assumeIsolated().scheduleTask(in: Self.lingering) { [weak self] in self?.close() }
        }
    }

    private func answer(_ status: HTTPResponseStatus, _ contentType: String, _ body: [UInt8]) {
        guard let context else { return }
        var buffer = context.channel.allocator.buffer(capacity: body.count)
        buffer.writeBytes(body)
        answer(status, contentType, buffer)
    }

    private func answer(
        _ status: HTTPResponseStatus, _ contentType: String, _ body: ByteBuffer, headers extra: HTTPHeaders = [:],
        closes: Bool = true
    ) {
        var headers = extra
        headers.add(name: "content-type", value: contentType)
        headers.add(name: "content-length", value: "\(body.readableBytes)")
        writeHead(status, headers)
        if case .discarding = state {} else { state = .idle }
        write(.body(.byteBuffer(body)), flush: false)
        endResponse(closes: closes)
    }

    private func writeStreamHead(flush: Bool = true) {
        writeHead(.ok, ["content-type": "text/event-stream; charset=utf-8"])
        if flush { context?.flush() }
    }

    private func writeHead(_ status: HTTPResponseStatus, _ headers: HTTPHeaders) {
        guard let head else { return }
        var headers = headers
        headers.add(name: "server", value: "weir-sim")
        if let id = head.headers.first(name: HeaderName.requestID) {
            headers.add(name: HeaderName.requestID, value: id)
        }
        if !keepsAlive { headers.add(name: "connection", value: "close") }
        write(.head(HTTPResponseHead(version: head.version, status: status, headers: headers)), flush: false)
    }

    private func endResponse(closes: Bool = true) {
        // The end of this answer may bring in the next request, pipelined, before `write` returns.
        let isLast = !keepsAlive
        write(.end(nil), flush: true)
        if closes, isLast { close() }
    }

    private func write(_ part: HTTPServerResponsePart, flush: Bool) {
        guard let context else { return }
        if flush {
            context.writeAndFlush(wrapOutboundOut(part), promise: nil)
        } else {
            context.write(wrapOutboundOut(part), promise: nil)
        }
    }
}
