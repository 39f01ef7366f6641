import Basics
import InferenceAPI
import NIOCore
import NIOHTTP1

/// One request on a client's connection while it is read: checks its head, then feeds an exchange, or answers at its
/// end what the gateway knows itself.
final class RequestReader {
    /// Longest request target; model servers have no use for longer ones.
    private static let targetLimitBytes = 8 << 10
    /// What the gateway answers itself needs no body; after this much of one it is answered, and the connection closed.
    private static let localBodyLimitBytes = 64 << 10

    private enum Handling {
        case exchange(Exchange)
        case handler(LocalExchange)
        case local(LocalAnswer, since: Instant)
        case feed(CapacityStream)
    }

    let head: HTTPRequestHead
    /// Whether the client waits for a word before it sends the body, and the body is wanted.
    let expectsContinue: Bool
    /// Whether the whole request has been read.
    private(set) var isRead = false
    private let facts: RequestHeadFacts
    private let handling: Handling
    private let refusesAtOnce: Bool
    private let requestID: String
    private var localBodyBytes = 0
    private unowned let connection: ClientConnection

    init(_ head: HTTPRequestHead, loop: LoopContext, isTrusted: Bool, connection: ClientConnection) {
        self.head = head
        self.connection = connection
        facts = RequestHeadFacts(head.headers)
        requestID = facts.requestID ?? loop.makeRequestID()
        let path = InferencePath(target: head.uri)
        let waits = facts.expectsContinue && head.version != .http1_0
        let caller = loop.core.tenants.caller(
            authorization: facts.authorization, namedTenant: facts.tenant, isTrusted: isTrusted)
        let access = Access(caller, path: path)
        if access.refusal == nil, let local = LocalAnswer(head, path: path, isTrusted: isTrusted, core: loop.core) {
            handling = .local(local, since: GatewayClock.now())
            refusesAtOnce = false
            expectsContinue = waits
            return
        }
        var feedRefusal: APIError?
        if path == .none, isTrusted, CapacityStream.isTarget(head.uri) {
            feedRefusal = CapacityStream.refusal(of: head.method, processor: facts.processor)
            if feedRefusal == nil, let processor = facts.processor {
                handling = .feed(
                    CapacityStream(processor: processor, requestID: requestID, loop: loop, connection: connection))
                refusesAtOnce = false
                expectsContinue = waits
                return
            }
        }
        let purpose = RequestPurpose(
            head, path: path, mode: facts.mode, hasHandler: loop.core.requestHandler != nil)
        var refusal =
            feedRefusal ?? Self.refusal(of: head, facts, path: path, limits: loop.core.limits) ?? access.refusal
        switch purpose {
        case .modelServer: break
        case .refused(let error): refusal = refusal ?? error
        case .handler(let mode):
            guard refusal == nil, let handler = loop.core.requestHandler else { break }
            handling = .handler(
                LocalExchange(
                    head, mode: mode, tenant: access.tenant, isTrusted: isTrusted, requestID: requestID,
                    handler: handler, loop: loop, connection: connection))
            refusesAtOnce = false
            expectsContinue = waits
            return
        }
        var request = ExchangeRequest(
            head: Self.head(head, withoutOwnHeadersOf: facts, usesKey: access.usesKey), path: path,
            requestID: requestID, isTrusted: isTrusted)
        request.refusal = refusal
        if !access.tenant.isEmpty { request.fairnessID = access.tenant }
        request.announcedBytes = facts.announcedBytes
        request.hasBody = facts.hasBody
        request.session = Self.session(of: head, facts, headers: loop.core.configuration.sessionHeaders)
        if isTrusted, facts.hasControlHeaders {
            request.ttftLimitMilliseconds = Self.milliseconds(HeaderName.ttftMilliseconds, head)
            request.tpotLimitMilliseconds = Self.milliseconds(HeaderName.tpotMilliseconds, head)
            request.isExplained = head.headers.first(name: HeaderName.explain) == "true"
            request.modelRewrite = HeaderName.modelRewrite.value { head.headers.first(name: $0) }
                .flatMap { RequestHeadFacts.isShortName($0) ? $0 : nil }
            let objective = HeaderName.objective.value { head.headers.first(name: $0) }
            request.priority = objective.flatMap { loop.core.configuration.objectives[$0] } ?? 0
            request.timeToLive = head.headers.first(name: HeaderName.queueTTL).flatMap { TimeSpan(headerValue: $0) }
            request.fairnessID = HeaderName.fairnessID.value { head.headers.first(name: $0) } ?? request.fairnessID
            request.processor = facts.processor.flatMap { loop.core.capacityFeeds.processor(named: $0) }
            if request.processor != nil { request.becomeMessage(now: GatewayClock.now()) }
        }
        // A client that waits would wait in vain, and nobody wants to read a body that is announced as too long.
        refusesAtOnce = refusal != nil && (waits || refusal?.code == .bodyTooLarge)
        expectsContinue = waits && refusal == nil
        handling = .exchange(Exchange(request, loop: loop, sink: connection))
    }

    /// Whether the connection cannot serve another request after this one.
    var isLast: Bool {
        // After a request to upgrade the parser takes what follows for another protocol.
        !head.isKeepAlive || facts.asksForUpgrade || head.method == .CONNECT
    }

    /// What is wrong with a request whatever its body is.
    private static func refusal(
        of head: HTTPRequestHead, _ facts: RequestHeadFacts, path: InferencePath, limits: GatewayLimits
    ) -> APIError? {
        if head.uri.utf8.count > targetLimitBytes { return .targetTooLong(limitBytes: targetLimitBytes) }
        if path == .none { return .notFound(path: head.uri) }
        if path.needsModel, head.method != .POST {
            return .methodNotAllowed(head.method.rawValue, allowed: "POST")
        }
        if head.version == .http1_1, facts.hosts != 1 {
            return .malformedRequest("must have exactly one Host header")
        }
        if facts.codingIsUnknown { return .malformedRequest("uses a transfer coding other than chunked") }
        if facts.expectationIsUnknown { return .malformedRequest("expects something other than 100-continue") }
        if let bytes = facts.announcedBytes, bytes > limits.requestBodyBytes {
            return .bodyTooLarge(limitBytes: limits.requestBodyBytes)
        }
        return nil
    }

    /// The head as far as it concerns others: without what speaks to this gateway alone, be it a header or a tenant's
    /// key.
    private static func head(
        _ head: HTTPRequestHead, withoutOwnHeadersOf facts: RequestHeadFacts, usesKey: Bool
    ) -> HTTPRequestHead {
        guard facts.hasOwnHeaders || usesKey else { return head }
        var head = head
        head.headers = HTTPHeaders(
            head.headers.filter { name, _ in
                !HeaderName.isForWeirAlone(name) && !(usesKey && MessageHeaders.same(name, HeaderName.authorization))
            })
        return head
    }

    func begin() {
        if refusesAtOnce, case .exchange(let exchange) = handling { exchange.refuseNow() }
    }

    func bodyArrived(_ piece: ByteBuffer) {
        switch handling {
        case .exchange(let exchange): exchange.bodyArrived(piece)
        case .handler(let exchange): exchange.bodyArrived(piece)
        case .local(let answer, _):
            localBodyBytes += piece.readableBytes
            if localBodyBytes > Self.localBodyLimitBytes { write(answer) }
        case .feed: break
        }
    }

    func bodyEnded() {
        isRead = true
        switch handling {
        case .exchange(let exchange): exchange.bodyEnded()
        case .handler(let exchange): exchange.bodyEnded()
        case .local(let answer, _): write(answer)
        case .feed(let stream): stream.begin()
        }
    }

    private func write(_ answer: LocalAnswer) {
        connection.writeWhole(
            status: answer.status, ["content-type": "application/json"], answer.body, requestID: requestID)
    }

    /// The session that a request belongs to, by the first of these headers that names one.
    private static func session(
        of head: HTTPRequestHead, _ facts: RequestHeadFacts, headers names: [String]
    ) -> String? {
        for name in names where facts.mayHave(name) {
            if let value = head.headers.first(name: name), RequestHeadFacts.isShortName(value) { return value }
        }
        return nil
    }

    /// A limit in milliseconds; what is no positive number is ignored.
    private static func milliseconds(_ header: HeaderAliases, _ head: HTTPRequestHead) -> Double? {
        header.value { head.headers.first(name: $0) }.flatMap { Double($0) }
            .flatMap { $0.isFinite && $0 > 0 ? min($0, 1e9) : nil }
    }

    /// An exchange with a model server watches its own time.
    func checkTime(now: Instant, limits: GatewayLimits) {
        switch handling {
        case .exchange, .feed: break
        case .handler(let exchange): exchange.checkTime(now: now, limits: limits)
        case .local(_, let since):
            if !isRead, now - since > limits.bodyTimeout { refuse(.requestTimeout(after: limits.bodyTimeout)) }
        }
    }

    /// The gateway begins to stop.
    func beginDrain() {
        switch handling {
        case .handler(let exchange): exchange.beginDrain()
        case .feed(let stream): stream.beginDrain()
        case .exchange, .local: break
        }
    }

    /// The time for stopping is over; exchanges with model servers are ended by themselves.
    func endDrain() {
        if case .handler(let exchange) = handling { exchange.endDrain() }
    }

    func clientPaused() {
        if case .exchange(let exchange) = handling { exchange.clientPaused() }
    }

    func clientLeft() {
        switch handling {
        case .exchange(let exchange): exchange.clientLeft()
        case .handler(let exchange): exchange.clientLeft()
        case .feed(let stream): stream.clientLeft()
        case .local: break
        }
    }

    func clientWritabilityChanged(isWritable: Bool) {
        switch handling {
        case .exchange(let exchange): exchange.clientWritabilityChanged(isWritable: isWritable)
        case .feed(let stream): stream.writabilityChanged(isWritable: isWritable)
        case .handler, .local: break
        }
    }

    /// The rest of the request cannot be read.
    func refuse(_ error: APIError) {
        switch handling {
        case .exchange(let exchange): exchange.abandon(.refused(error))
        case .handler(let exchange): exchange.fail(error)
        case .local, .feed:
            connection.writeWhole(
                status: error.status, ["content-type": "application/json"], error.jsonBody(), requestID: requestID)
        }
    }
}

/// What the caller's identity means for a request.
private struct Access {
    var tenant = ""
    var usesKey = false
    var refusal: APIError?

    /// What lies outside the API, such as the health check, is open to all.
    init(_ caller: TenantRegistry.Caller, path: InferencePath) {
        guard path != .none else { return }
        switch caller {
        case .tenant(let name, let usesKey):
            tenant = name
            self.usesKey = usesKey
        case .refused(let error): refusal = error
        }
    }
}
