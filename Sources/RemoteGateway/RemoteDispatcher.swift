import AsyncHTTPClient
public import AsyncProcessor
import Basics
public import Delivery
import InferenceAPI
public import MessageQueues
import NIOCore
import NIOHTTP1
import Synchronization

/// Carries a queue's messages to a gateway over HTTP, one request each.
///
/// Requests are sent as they come: how many there are at a time is for the caller to say. Cancelling the calling task closes
/// the request's connection (or its HTTP/2 stream) at once, which is how gateways and engines learn to stop.
public final class RemoteDispatcher: InferenceDispatcher {
    /// Paths are few: most messages of a queue go to the same one.
    private static let maximumTemplates = 64

    private let connections: GatewayConnections
    private let target: RemoteTarget
    private let headers: RequestHeaders
    private let transforms: [any RequestTransform]
    private let clock: any DeliveryClock
    /// Requests with nothing but a method and a URL, by path, so that a URL is taken apart once.
    private let templates = Mutex<[String: HTTPClient.Request]>([:])

    /// Creates the dispatcher of one target.
    ///
    /// - Parameter transforms: what may rewrite bodies; the first that takes a message on does it.
    public init(
        target: RemoteTarget, connections: GatewayConnections, transforms: [any RequestTransform] = [],
        clock: any DeliveryClock = SystemClock()
    ) throws(RemoteGatewayError) {
        self.connections = connections
        self.target = target
        self.transforms = transforms
        self.clock = clock
        headers = try RequestHeaders(target)
    }

    /// Sends the request and returns how it ended; `started` is called when its head has gone out on a connection.
    public func perform(_ request: AsyncRequest, started: @escaping @Sendable () -> Void) async -> AttemptOutcome {
        let now = clock.now()
        let remaining = request.deadline - now
        guard remaining > .zero, !Task.isCancelled else { return .withdrawn }
        let call: HTTPClient.Request
        switch prepare(request, remaining: remaining) {
        case .success(let prepared): call = prepared
        case .failure(let error): return Self.answer(error)
        }
        let collector = AnswerCollector(
            maximumBytes: target.maximumAnswerBytes, now: { [clock] in clock.now() }, started: started)
        let ticket = CallTicket()
        return await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let task = connections.client.execute(request: call, delegate: collector)
                ticket.assign(task)
                task.futureResult.whenComplete { result in
                    switch result {
                    case .success(let outcome): continuation.resume(returning: outcome)
                    case .failure:
                        continuation.resume(
                            returning: collector.outcomeOfFailure(
                                endpoint: self.target.url.authority, wasCancelled: ticket.isCancelled))
                    }
                }
            }
        } onCancel: {
            ticket.cancel()
        }
    }

    /// Puts the request together; what is wrong with a message is its result, as no repetition can help.
    private func prepare(_ request: AsyncRequest, remaining: TimeSpan) -> Result<HTTPClient.Request, APIError> {
        guard var call = template(request.path) else {
            return .failure(
                .malformedRequest(
                    "names a path that is no plain path below the gateway's: it must not contain \"..\", \".\", encoded "
                        + "slashes or characters that URLs must not have"))
        }
        var contentType: String?
        call.body = .byteBuffer(ByteBuffer(bytes: request.body))
        if !transforms.isEmpty {
            let subject = TransformSubject(
                body: request.body, metadata: request.metadata, deadline: request.deadline)
            do throws(TransformFault) {
                if let transformed = try Self.firstTransformed(subject, by: transforms) {
                    contentType = transformed.contentType
                    call.body = .byteBuffer(ByteBuffer(bytes: transformed.body))
                }
            } catch {
                return .failure(.malformedRequest(error.description))
            }
        }
        do throws(RequestHeaders.Fault) {
            call.headers = try headers.fields(for: request, contentType: contentType, remaining: remaining)
        } catch {
            return .failure(
                .malformedRequest("has a header that cannot be sent: \(error.name.prefix(64).debugDescription)"))
        }
        return .success(call)
    }

    private static func firstTransformed(
        _ subject: TransformSubject, by transforms: [any RequestTransform]
    ) throws(TransformFault) -> TransformedBody? {
        for transform in transforms {
            if let transformed = try transform.transform(subject) { return transformed }
        }
        return nil
    }

    private func template(_ path: String) -> HTTPClient.Request? {
        if let known = templates.withLock({ $0[path] }) { return known }
        guard let url = target.url.appending(path), let template = try? HTTPClient.Request(url: url, method: .POST)
        else {
            return nil
        }
        templates.withLock { if $0.count < Self.maximumTemplates { $0[path] = template } }
        return template
    }

    private static func answer(_ error: APIError) -> AttemptOutcome {
        .answered(
            AttemptResponse(statusCode: error.status, body: error.jsonBody(), contentType: "application/json"))
    }
}

/// Links a task's cancellation to the HTTP request that works for it.
private final class CallTicket: Sendable {
    private let state = Mutex<(task: HTTPClient.Task<AttemptOutcome>?, isCancelled: Bool)>((nil, false))

    var isCancelled: Bool { state.withLock { $0.isCancelled } }

    func assign(_ task: HTTPClient.Task<AttemptOutcome>) {
        let isCancelled = state.withLock { state in
            state.task = task
            return state.isCancelled
        }
        if isCancelled { task.cancel() }
    }

    func cancel() {
        let task = state.withLock { state in
            state.isCancelled = true
            return state.task
        }
        task?.cancel()
    }
}
