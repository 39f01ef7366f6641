import Basics
import InferenceAPI
import NIOCore
import NIOHTTP1

/// One request on a client's connection while it is read: checks its head, then feeds an exchange, or answers at its end
/// what the gateway knows itself.
final class RequestReader {
    /// Longest request target; model servers have no use for longer ones.
    private static let targetLimitBytes = 8 << 10
    /// What the gateway answers itself needs no body; after this much of one it is answered, and the connection closed.
    private static let localBodyLimitBytes = 64 << 10

    private enum Handling {
        case exchange(Exchange)
        case local(LocalAnswer, since: Instant)
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
        if let local = LocalAnswer(head, path: path, core: loop.core) {
            handling = .local(local, since: GatewayClock.now())
            refusesAtOnce = false
            expectsContinue = waits
            return
        }
        let refusal = Self.refusal(of: head, facts, path: path, limits: loop.core.limits)
        var request = ExchangeRequest(head: head, path: path, requestID: requestID, isTrusted: isTrusted)
        request.refusal = refusal
        request.announcedBytes = facts.announcedBytes
        request.hasBody = facts.hasBody
        if isTrusted, facts.hasControlHeaders {
            let objective = HeaderName.objective.value { head.headers.first(name: $0) }
            request.priority = objective.flatMap { loop.core.configuration.objectives[$0] } ?? 0
            request.timeToLive = head.headers.first(name: HeaderName.queueTTL).flatMap { TimeSpan(headerValue: $0) }
            request.fairnessID = HeaderName.fairnessID.value { head.headers.first(name: $0) }
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

    func begin() {
        if refusesAtOnce, case .exchange(let exchange) = handling { exchange.refuseNow() }
    }

    func bodyArrived(_ piece: ByteBuffer) {
        switch handling {
        case .exchange(let exchange): exchange.bodyArrived(piece)
        case .local(let answer, _):
            localBodyBytes += piece.readableBytes
            if localBodyBytes > Self.localBodyLimitBytes { write(answer) }
        }
    }

    func bodyEnded() {
        isRead = true
        switch handling {
        case .exchange(let exchange): exchange.bodyEnded()
        case .local(let answer, _): write(answer)
        }
    }

    private func write(_ answer: LocalAnswer) {
        connection.writeWhole(
            status: answer.status, ["content-type": "application/json"], answer.body, requestID: requestID)
    }

    /// An exchange watches its own time.
    func checkTime(now: Instant, limits: GatewayLimits) {
        guard case .local(_, let since) = handling, !isRead, now - since > limits.bodyTimeout else { return }
        refuse(.requestTimeout(after: limits.bodyTimeout))
    }

    func clientPaused() {
        if case .exchange(let exchange) = handling { exchange.clientPaused() }
    }

    func clientLeft() {
        if case .exchange(let exchange) = handling { exchange.clientLeft() }
    }

    func clientWritabilityChanged(isWritable: Bool) {
        if case .exchange(let exchange) = handling { exchange.clientWritabilityChanged(isWritable: isWritable) }
    }

    /// The rest of the request cannot be read.
    func refuse(_ error: APIError) {
        switch handling {
        case .exchange(let exchange): exchange.abandon(.refused(error))
        case .local:
            connection.writeWhole(
                status: error.status, ["content-type": "application/json"], error.jsonBody(), requestID: requestID)
        }
    }
}
