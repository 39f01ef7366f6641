public import Basics
public import InferenceAPI
public import NIOCore
import NIOHTTP1
import NIOPosix
import PoolScheduler
import Synchronization

/// A request that comes not over a socket but from this process, such as a message of the queue.
public struct InferenceCall: Sendable {
    /// The path to post to.
    public var path: String
    /// Header fields for the endpoint; hop-by-hop ones, length and request id are the gateway's to set.
    public var headers: [(name: String, value: String)]
    /// The body: a JSON object that names its model.
    public var body: ByteBuffer
    /// The correlation id; nil makes one.
    public var requestID: String?
    /// Its band; below zero is sheddable.
    public var priority: Int
    /// When its answer is worth nothing any more, on the time line of `Gateway.now`. Sheddable requests are started in
    /// the order of their deadlines.
    public var deadline: Instant?
    /// Whether a durable queue holds it: it then waits until its deadline, and may be called back at any time.
    public var isMessage: Bool
    /// The longest answer that is kept; a longer one fails the call with the code `answerTooLarge`.
    public var maxAnswerBytes: Int

    /// Creates a call.
    public init(
        path: String = "/v1/chat/completions", headers: [(name: String, value: String)] = [], body: ByteBuffer,
        requestID: String? = nil, priority: Int = -1, deadline: Instant? = nil, isMessage: Bool = true,
        maxAnswerBytes: Int = 16 << 20
    ) {
        self.path = path
        self.headers = headers
        self.body = body
        self.requestID = requestID
        self.priority = priority
        self.deadline = deadline
        self.isMessage = isMessage
        self.maxAnswerBytes = maxAnswerBytes
    }
}

/// How an `InferenceCall` ended.
public enum InferenceOutcome: Sendable {
    /// An endpoint answered, with whatever status.
    case answered(InferenceAnswer)
    /// The gateway did not carry it; `rejectionCause` sorts the reasons.
    case rejected(APIError)
    /// It had started and was stopped for more urgent work.
    case evicted
    /// It had started and came to nothing.
    case failed(InferenceFailure)
    /// The calling task was cancelled.
    case cancelled

    /// Why the gateway did not carry the call; nil if it did.
    public var rejectionCause: InferenceRejectionCause? {
        guard case .rejected(let error) = self else { return nil }
        return InferenceRejectionCause(error.code)
    }
}

/// Why the gateway did not carry a call, by what can be done about it.
public enum InferenceRejectionCause: Hashable, Sendable {
    /// The call itself is at fault, an unknown model included: asking again cannot help.
    case invalidCall
    /// Endpoints are up, but as much waits already as may wait: capacity is what is missing.
    case noCapacity
    /// No endpoint that serves the model is up, or none has told its models yet.
    case noEndpoints
    /// Its deadline, or its time to wait, passed while it waited.
    case expired
    /// The gateway is going away.
    case stopping
    /// A fault of the gateway's own.
    case internalFault

    init(_ code: ErrorCode) {
        self =
            switch code {
            case .saturated, .queueFull: .noCapacity
            case .noEndpoints: .noEndpoints
            case .queueTimeout, .deadlineInfeasible: .expired
            case .shuttingDown: .stopping
            default: code.row.isRetryable ? .internalFault : .invalidCall
            }
    }
}

/// How a call failed after an endpoint had been chosen for it.
public struct InferenceFailure: Sendable {
    /// What went wrong.
    public enum Cause: Hashable, Sendable {
        /// No connection could be opened: no endpoint has seen the request.
        case connectFailed
        /// A connection broke: the endpoint may have seen the request, and worked on it.
        case connectionLost
        /// The endpoint did not answer in time, or paused its answer for too long.
        case timedOut
        /// The endpoint answered with an event stream that says in an event that it failed, whatever its status.
        case errorInStream
        /// The answer is longer than `InferenceCall.maxAnswerBytes`.
        case answerTooLarge
        /// The gateway's own drain ended it.
        case stopping
    }

    /// What went wrong.
    public var cause: Cause
    /// The error that a client would have been told.
    public var error: APIError
    /// The endpoint that was tried last; nil if none had been chosen.
    public var endpoint: String?

    /// The code of `error`.
    public var code: ErrorCode { error.code }
}

/// A whole answer of an endpoint.
public struct InferenceAnswer: Sendable {
    /// HTTP status.
    public var status: Int
    /// Header fields, without hop-by-hop ones.
    public var headers: [(name: String, value: String)]
    /// The body.
    public var body: ByteBuffer
    /// Who answered.
    public var endpoint: String
    /// Tokens as the endpoint counted them.
    public var usage: TokenUsage?
}

extension Gateway {
    /// The present moment on the gateway's time line, in which deadlines are given.
    public static var now: Instant { GatewayClock.now() }

    /// Carries a request through its pool and returns how it ended; never throws.
    ///
    /// Cancelling the task withdraws a request that waits and aborts one that runs.
    /// - Parameter started: called on an event loop when the request is given to an endpoint, again for each retry.
    public func perform(
        _ call: InferenceCall, started: @escaping @Sendable () -> Void = {}
    ) async -> InferenceOutcome {
        guard !isDraining else { return .rejected(.shuttingDown(retryAfter: .seconds(1))) }
        let eventLoop = group.next()
        guard let loop = loops[ObjectIdentifier(eventLoop)] else { return .rejected(.internalError) }
        let ticket = CallTicket()
        return await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                eventLoop.execute {
                    InProcessSink.start(call, ticket: ticket, loop: loop.value, started: started) {
                        continuation.resume(returning: $0)
                    }
                }
            }
        } onCancel: {
            ticket.cancel()
            eventLoop.execute { if let id = ticket.id { loop.value.exchange(id)?.clientLeft() } }
        }
    }
}

/// Links a task's cancellation to the exchange that works for it.
private final class CallTicket: Sendable {
    private let state = Mutex<(id: UInt64?, isCancelled: Bool)>((nil, false))

    var id: UInt64? { state.withLock { $0.id } }
    var isCancelled: Bool { state.withLock { $0.isCancelled } }

    func assign(_ id: UInt64) { state.withLock { $0.id = id } }
    func cancel() { state.withLock { $0.isCancelled = true } }
}

/// Collects an answer for a caller in this process.
private final class InProcessSink: ExchangeSink {
    private let maxAnswerBytes: Int
    private let completion: (InferenceOutcome) -> Void
    private var exchange: Exchange?
    private var head: AnswerHead?
    private var body = ByteBuffer()
    private var isOver = false

    private init(maxAnswerBytes: Int, completion: @escaping (InferenceOutcome) -> Void) {
        self.maxAnswerBytes = maxAnswerBytes
        self.completion = completion
    }

    static func start(
        _ call: InferenceCall, ticket: CallTicket, loop: LoopContext, started: @escaping @Sendable () -> Void,
        completion: @escaping (InferenceOutcome) -> Void
    ) {
        guard !ticket.isCancelled else { return completion(.cancelled) }
        let path = InferencePath(target: call.path)
        guard path != .none else { return completion(.rejected(.notFound(path: call.path))) }
        // The length is written with the rest of the framing, when the head is written for an endpoint.
        let headers = HTTPHeaders(call.headers.map { ($0.name, $0.value) })
        let head = HTTPRequestHead(version: .http1_1, method: .POST, uri: call.path, headers: headers)
        var request = ExchangeRequest(
            head: head, path: path, requestID: call.requestID ?? loop.makeRequestID(), isTrusted: false)
        request.announcedBytes = call.body.readableBytes
        request.hasBody = true
        request.priority = call.priority
        request.deadline = call.deadline
        request.isMessage = call.isMessage
        request.started = started
        let sink = InProcessSink(maxAnswerBytes: call.maxAnswerBytes, completion: completion)
        let exchange = Exchange(request, loop: loop, sink: sink, isInProcess: true)
        ticket.assign(exchange.id)
        sink.exchange = exchange
        exchange.bodyArrived(call.body)
        exchange.bodyEnded()
    }

    private func end(_ outcome: InferenceOutcome) {
        guard !isOver else { return }
        isOver = true
        exchange = nil
        completion(outcome)
    }

    var isWritable: Bool { true }
    func setReading(_ isOn: Bool) {}
    func answerFlush() {}

    func answerBegan(_ answer: AnswerHead) { head = answer }

    func answerBody(_ piece: ByteBuffer) {
        guard !isOver else { return }
        guard body.readableBytes + piece.readableBytes <= maxAnswerBytes else {
            exchange?.abandon(.answerTooLarge(limitBytes: maxAnswerBytes))
            return
        }
        // Most answers come in one piece, which need not be copied.
        if body.readableBytes == 0 { body = piece } else { body.writeImmutableBuffer(piece) }
    }

    func answerEnded() {
        guard let head else { return fail(.connectionLost, .internalError) }
        if head.isEventStream, head.head.status.code < 300, exchange?.answerHasError == true {
            return fail(.errorInStream, .upstreamFailure("reported an error within its answer"))
        }
        let headers = MessageHeaders.answerHeaders(of: head.head, requestID: head.requestID, isEventStream: false)
        end(
            .answered(
                InferenceAnswer(
                    status: Int(head.head.status.code), headers: headers.map { (name: $0.name, value: $0.value) },
                    body: body, endpoint: head.endpoint, usage: exchange?.usage)))
    }

    func answerFailed(_ failure: ExchangeFailure, _ error: APIError, requestID: String) {
        switch failure {
        case .refused, .bodyTooLarge, .bodyBudgetSpent, .bodyTimeout: end(.rejected(error))
        case .rejected(let rejection) where rejection.cause != .endpointsFailed: end(.rejected(error))
        default: answerCut(failure, error, isEventStream: false, atEventBoundary: false)
        }
    }

    func answerCut(_ failure: ExchangeFailure, _ error: APIError, isEventStream: Bool, atEventBoundary: Bool) {
        switch failure {
        case .evicted: end(.evicted)
        case .unreachable, .upstreamBroke, .rejected, .refused, .bodyTooLarge, .bodyBudgetSpent, .bodyTimeout:
            fail(exchange?.wasSent == true ? .connectionLost : .connectFailed, error)
        case .firstByteTimeout, .upstreamStalled: fail(.timedOut, error)
        case .answerTooLarge: fail(.answerTooLarge, error)
        case .drained: fail(.stopping, error)
        }
    }

    private func fail(_ cause: InferenceFailure.Cause, _ error: APIError) {
        end(.failed(InferenceFailure(cause: cause, error: error, endpoint: exchange?.endpointName)))
    }

    func answerAbandoned() { end(.cancelled) }
}
