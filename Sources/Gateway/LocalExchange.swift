import Basics
import InferenceAPI
import NIOCore
import NIOHTTP1
import Pool
import Synchronization

/// A request that the handler in this process answers: collects its body, lets the handler work, writes the answer. On
/// one event loop, but for the handler's work.
final class LocalExchange {
    private enum Phase {
        case reading
        case working(Task<Void, Never>)
        case over
    }

    private let id: UInt64
    private let head: HTTPRequestHead
    private let mode: QueueMode?
    private let tenant: String
    private let isTrusted: Bool
    private let requestID: String
    private let handler: any LocalRequestHandler
    private let loop: LoopContext
    private weak var connection: ClientConnection?
    private var phase = Phase.reading
    private var held = HeldBody()
    private var requestBytes = 0
    private let started: Instant
    private var lastBodyByte: Instant

    init(
        _ head: HTTPRequestHead, mode: QueueMode?, tenant: String, isTrusted: Bool, requestID: String,
        handler: any LocalRequestHandler, loop: LoopContext, connection: ClientConnection
    ) {
        id = loop.core.newRequest()
        self.head = head
        self.mode = mode
        self.tenant = tenant
        self.isTrusted = isTrusted
        self.requestID = requestID
        self.handler = handler
        self.loop = loop
        self.connection = connection
        started = GatewayClock.now()
        lastBodyByte = started
    }

    // MARK: Reading

    func bodyArrived(_ piece: ByteBuffer) {
        guard case .reading = phase else { return }
        let limits = loop.core.limits
        let bytes = piece.readableBytes
        lastBodyByte = GatewayClock.now()
        requestBytes += bytes
        guard requestBytes <= limits.requestBodyBytes else {
            return fail(.bodyTooLarge(limitBytes: limits.requestBodyBytes))
        }
        guard loop.core.bodyBudget.take(bytes) else { return fail(.bodyBudgetSpent(retryAfter: .seconds(1))) }
        held.append(piece)
    }

    func bodyEnded() {
        guard case .reading = phase else { return }
        // Whatever is stored now is safe, but its result will not come while this gateway lives.
        if mode == .wait, loop.core.isDraining.load(ordering: .relaxed) {
            return fail(.shuttingDown(retryAfter: .seconds(1)))
        }
        let body = LocalRequestBody(pieces: held.pieces, charged: held.bytes, budget: loop.core.bodyBudget)
        held.removeAll()
        let headers = head.headers.compactMap { name, value in
            MessageHeaders.same(name, HeaderName.authorization) ? nil : (name: name, value: value)
        }
        let request = LocalRequest(
            method: head.method.rawValue, target: head.uri, headers: headers, body: body, mode: mode, tenant: tenant,
            isTrusted: isTrusted, requestID: requestID, results: loop.core.resultBudget)
        let bound = NIOLoopBound(self, eventLoop: loop.eventLoop)
        let handler = handler
        let tasks = loop.core.handlerTasks
        tasks.began()
        phase = .working(
            Task {
                var response = await handler.answer(request)
                request.body.release()
                // Copied here and not on the loop, and held once: it may be long.
                let body = ByteBuffer(bytes: response.body)
                response.body = []
                let head = response
                bound.eventLoop.execute { bound.value.answered(head, body) }
                tasks.ended()
            })
    }

    func checkTime(now: Instant, limits: GatewayLimits) {
        guard case .reading = phase, now - lastBodyByte > limits.bodyTimeout else { return }
        fail(.requestTimeout(after: limits.bodyTimeout))
    }

    // MARK: Ending

    /// The room that an answer takes up is its own until the client has taken it.
    private func answered(_ response: LocalResponse, _ body: ByteBuffer) {
        guard case .working = phase else { return }
        let room = response.room
        let sent = loop.eventLoop.makePromise(of: Void.self)
        sent.futureResult.whenComplete { _ in withExtendedLifetime(room) {} }
        write(response, body, sent: sent)
    }

    /// Answers with an error, whatever the handler is at.
    func fail(_ error: APIError) {
        let response = LocalResponse(error)
        write(response, ByteBuffer(bytes: response.body))
    }

    private func write(_ response: LocalResponse, _ body: ByteBuffer, sent: EventLoopPromise<Void>? = nil) {
        let connection = connection
        end(response, bodyBytes: body.readableBytes, clientLeft: false)
        guard let connection else {
            sent?.succeed()
            return
        }
        connection.writeWhole(
            status: response.status, HTTPHeaders(response.headers.map { ($0.name, $0.value) }), body,
            requestID: requestID, sent: sent)
    }

    func clientLeft() { end(nil, bodyBytes: 0, clientLeft: true) }

    /// The gateway begins to stop: what may take long is not waited for.
    func beginDrain() {
        if mode == .wait, case .working(let task) = phase { task.cancel() }
    }

    /// The time for stopping is over: the handler is to answer at once.
    func endDrain() {
        switch phase {
        case .reading: fail(.shuttingDown(retryAfter: .seconds(1)))
        case .working(let task): task.cancel()
        case .over: break
        }
    }

    private func end(_ response: LocalResponse?, bodyBytes: Int, clientLeft: Bool) {
        if case .over = phase { return }
        if case .working(let task) = phase { task.cancel() }
        phase = .over
        connection = nil
        loop.core.bodyBudget.giveBack(held.bytes)
        held.removeAll()
        loop.core.requestEnded(record(response, bodyBytes: bodyBytes, clientLeft: clientLeft))
    }

    private func record(_ response: LocalResponse?, bodyBytes: Int, clientLeft: Bool) -> RequestRecord {
        let elapsed = GatewayClock.now() - started
        let queuedID = response?.headers.first { $0.name == HeaderName.queuedRequestID }?.value
        return RequestRecord(
            requestID: requestID, method: head.method.rawValue,
            path: head.uri.utf8.count <= 256 ? head.uri : String(head.uri.prefix(256)), model: response?.model,
            status: response?.status ?? 499, pool: nil, endpoint: nil, priority: 0, workClass: WorkClass(priority: 0),
            fairnessID: tenant.isEmpty ? nil : tenant, isStreamed: false, isInProcess: false, isLocal: true,
            queuedRequestID: queuedID, started: started,
            placedAfter: nil, firstByteAfter: response == nil ? nil : elapsed, endedAfter: elapsed, usage: nil,
            outputEvents: 0, estimatedPromptTokens: 0, attempts: 0, requestBytes: requestBytes,
            responseBytes: bodyBytes, error: response?.error, clientLeft: clientLeft, isCut: false)
    }
}
