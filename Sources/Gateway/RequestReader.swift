import InferenceAPI
import NIOCore
import NIOHTTP1

/// One request on a client's connection while it is read: checks its head, then feeds an exchange, or answers at its end
/// what the gateway knows itself.
final class RequestReader {
    /// Longest request target; model servers have no use for longer ones.
    private static let targetLimitBytes = 8 << 10

    private enum Handling {
        case exchange(Exchange)
        case local(LocalAnswer)
    }

    let head: HTTPRequestHead
    /// Whether the client waits for a word before it sends the body, and the body is wanted.
    let expectsContinue: Bool
    /// Whether the whole request has been read.
    private(set) var isRead = false
    private let handling: Handling
    private let refusesAtOnce: Bool
    private let requestID: String
    private unowned let connection: ClientConnection

    init(_ head: HTTPRequestHead, loop: LoopContext, isTrusted: Bool, connection: ClientConnection) {
        self.head = head
        self.connection = connection
        requestID = MessageHeaders.acceptableRequestID(head.headers) ?? loop.makeRequestID()
        let path = InferencePath(target: head.uri)
        let limits = loop.core.limits
        let expectation = head.headers.first(name: "expect")
        let waits = expectation != nil && head.version != .http1_0
        if let local = LocalAnswer(head, path: path, core: loop.core) {
            handling = .local(local)
            refusesAtOnce = false
            expectsContinue = waits
            return
        }
        let refusal = Self.refusal(of: head, path: path, limits: limits)
        var request = ExchangeRequest(head: head, path: path, requestID: requestID, isTrusted: isTrusted)
        request.refusal = refusal
        if isTrusted {
            let objective = HeaderName.objective.value { head.headers.first(name: $0) }
            request.priority = objective.flatMap { loop.core.configuration.objectives[$0] } ?? 0
            request.fairnessID = HeaderName.fairnessID.value { head.headers.first(name: $0) }
        }
        // A client that waits would wait in vain, and nobody wants to read a body that is announced as too long.
        refusesAtOnce = refusal != nil && (waits || refusal?.code == .bodyTooLarge)
        expectsContinue = waits && refusal == nil
        handling = .exchange(Exchange(request, loop: loop, sink: connection))
    }

    /// What is wrong with a request whatever its body is.
    private static func refusal(of head: HTTPRequestHead, path: InferencePath, limits: GatewayLimits) -> APIError? {
        if head.uri.utf8.count > targetLimitBytes { return .targetTooLong(limitBytes: targetLimitBytes) }
        if path == .none { return .notFound(path: head.uri) }
        if path.needsModel, head.method != .POST {
            return .methodNotAllowed(head.method.rawValue, allowed: "POST")
        }
        let codings = head.headers["transfer-encoding"]
        if codings.count > 1 || codings.contains(where: { !MessageHeaders.same($0, "chunked") }) {
            return .malformedRequest("uses a transfer coding other than chunked")
        }
        let expectations = head.headers["expect"]
        if expectations.contains(where: { !MessageHeaders.same($0, "100-continue") }) {
            return .malformedRequest("expects something other than 100-continue")
        }
        if let length = head.headers.first(name: HeaderName.contentLength).flatMap({ Int($0) }),
            length > limits.requestBodyBytes
        {
            return .bodyTooLarge(limitBytes: limits.requestBodyBytes)
        }
        return nil
    }

    func begin() {
        if refusesAtOnce, case .exchange(let exchange) = handling { exchange.refuseNow() }
    }

    func bodyArrived(_ piece: ByteBuffer) {
        if case .exchange(let exchange) = handling { exchange.bodyArrived(piece) }
    }

    func bodyEnded() {
        isRead = true
        switch handling {
        case .exchange(let exchange): exchange.bodyEnded()
        case .local(let answer):
            connection.writeWhole(
                status: answer.status, ["content-type": "application/json"], answer.body, requestID: requestID)
        }
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
