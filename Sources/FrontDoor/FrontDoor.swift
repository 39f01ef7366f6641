import Basics
import Delivery
public import Gateway
import InferenceAPI
public import MessageQueues
import Synchronization

/// Takes requests into a queue over HTTP, and answers for them: state, result, cancellation.
///
/// Nothing is acknowledged before it is durable. A request belongs to its tenant; to all others it does not exist.
public final class FrontDoor: LocalRequestHandler {
    /// The queue behind the door.
    public typealias Queue = MessageQueue & MessageIntake & RequestLedger

    /// How long a cancellation is given to take effect before it is answered.
    private static let cancellationPatience = TimeSpan.seconds(1)
    /// How long after its deadline a request has its result for certain.
    private static let settlingTime = TimeSpan.milliseconds(1500)
    /// Stored results that are read and turned into answers at a time: each may be many MiB, several times over.
    private static let resultsAtATime = 4

    private let queue: any Queue
    private let settings: FrontDoorSettings
    private let clock: any DeliveryClock
    private let reader: SubmissionReader
    private let onFailure: @Sendable (_ error: any Error, _ requestID: String) -> Void
    private let waiting = Atomic<Int>(0)
    private let results = Gate(places: resultsAtATime)
    /// Whether the queue was full when it was last written to.
    private let isFull = Atomic<Bool>(false)

    /// Creates a front door.
    ///
    /// - Parameters:
    ///   - webhookIsAllowed: whether results may be posted to a URL.
    ///   - onFailure: told, for the log, why the queue could not be used for a request; clients hear no details.
    public init(
        queue: any Queue, settings: FrontDoorSettings = .init(), clock: any DeliveryClock = SystemClock(),
        webhookIsAllowed: @escaping @Sendable (String) -> Bool = { _ in false },
        onFailure: @escaping @Sendable (_ error: any Error, _ requestID: String) -> Void = { _, _ in }
    ) {
        self.queue = queue
        self.settings = settings
        self.clock = clock
        self.onFailure = onFailure
        reader = SubmissionReader(settings: settings, webhookIsAllowed: webhookIsAllowed)
    }

    /// Connections that are held for results at this moment.
    public var waitingCount: Int { waiting.load(ordering: .relaxed) }

    /// Answers a request, as `LocalRequestHandler` says.
    public func answer(_ request: LocalRequest) async -> LocalResponse {
        do {
            return switch request.mode {
            case .enqueue: try await enqueue(request)
            case .wait: try await enqueueAndWait(request)
            case nil: try await answerQuery(request)
            }
        } catch let error as APIError {
            return LocalResponse(error)
        } catch is CancellationError {
            return LocalResponse(.shuttingDown(retryAfter: .seconds(1)))
        } catch {
            let (answer, news) = QueueFault.answer(to: error)
            let isForTheLog =
                switch news {
                case .none: false
                case .always: true
                // It stays full for a while, and is asked by many.
                case .whenItBegins: !isFull.exchange(true, ordering: .relaxed)
                }
            if isForTheLog { onFailure(error, request.requestID) }
            return LocalResponse(answer)
        }
    }

    // MARK: Submitting

    private func enqueue(_ request: LocalRequest) async throws -> LocalResponse {
        let message = try message(request)
        let receipt = try await store(message, of: request)
        let headers = [
            (name: HeaderName.contentType, value: "application/json"),
            (name: HeaderName.location, value: "\(LedgerQuery.path)/\(message.id)"),
            (name: HeaderName.queuedRequestID, value: message.id),
        ]
        if receipt == .accepted {
            var response = LocalResponse(status: 202, headers: headers, body: RequestText.object(message))
            response.model = message.model
            return response
        }
        // It was submitted before: this tells where that one stands.
        guard let view = try await queue.request(message.id, tenant: request.tenant) else {
            throw APIError.queueUnavailable
        }
        var response = try await object(view, for: request, status: view.finished == nil ? 202 : 200)
        response.headers = headers
        response.model = message.model
        return response
    }

    private func enqueueAndWait(_ request: LocalRequest) async throws -> LocalResponse {
        guard waiting.add(1, ordering: .relaxed).newValue <= settings.maxWaiting else {
            waiting.subtract(1, ordering: .relaxed)
            throw APIError.tooManyWaiting(limit: settings.maxWaiting)
        }
        defer { waiting.subtract(1, ordering: .relaxed) }
        let (id, model, patience) = try await storeToWait(request)
        var response: LocalResponse
        do {
            response = try await awaitResult(of: id, for: request, patience: patience)
        } catch is CancellationError {
            response = ResultAnswer.notFinished(id)
        }
        response.model = model
        return response
    }

    /// Stores a request and lets go of its body; what remains to be known is its id, its model and how long to wait for
    /// it.
    private func storeToWait(_ request: LocalRequest) async throws -> (id: String, model: String?, patience: TimeSpan) {
        let message = try message(request)
        _ = try await store(message, of: request)
        // A moment more than the deadline, so that the one who waits learns how it ended.
        let patience = message.deadline - message.created + Self.settlingTime
        return (message.id, message.model, min(patience, settings.longestWait))
    }

    private func message(_ request: LocalRequest) throws(APIError) -> InferenceMessage {
        let submission = SubmissionReader.Request(
            target: request.target, headers: request.headers, body: request.body.take(), tenant: request.tenant,
            isTrusted: request.isTrusted)
        return try reader.message(submission, now: clock.now(), newID: RequestIdentity.random)
    }

    private func store(_ message: InferenceMessage, of request: LocalRequest) async throws -> EnqueueReceipt {
        let receipts = try await queue.enqueue([message])
        request.body.release()
        isFull.store(false, ordering: .relaxed)
        guard let receipt = receipts.first, receipt != .conflict else { throw APIError.idempotencyConflict }
        return receipt
    }

    private func awaitResult(
        of id: String, for request: LocalRequest, patience: TimeSpan
    ) async throws -> LocalResponse {
        await waitForResult(of: id, atMost: patience)
        // Whoever is cancelled here stops waiting, no more: the request goes on.
        guard !Task.isCancelled else { return ResultAnswer.notFinished(id) }
        let response = try await roomyAnswer(to: request) {
            if let result = try await queue.result(of: id, tenant: request.tenant) {
                return ResultAnswer.response(to: id, line: result.line)
            }
            // Not what this submission asks for: one that came first, with this key, may have another deadline.
            let view = try await queue.request(id, tenant: request.tenant)
            let isTooLate = view.map { $0.finished == nil && $0.deadline <= clock.now() } ?? false
            return isTooLate ? ResultAnswer.deadlineExceeded(id) : ResultAnswer.notFinished(id)
        }
        // The result stays, and can be fetched when there is more room.
        return response ?? ResultAnswer.notFinished(id)
    }

    // MARK: Long answers

    /// Makes an answer that may be long, with only so many others at a time, and takes room for it until the client has
    /// it; nil if there is none.
    private func roomyAnswer(
        to request: LocalRequest, _ make: () async throws -> LocalResponse
    ) async throws -> LocalResponse? {
        try await results.pass {
            var response = try await make()
            guard let room = request.room(forAnswer: response.body.count) else { return nil }
            response.room = room
            return response
        }
    }

    /// A request with its result, if it has one.
    private func object(_ view: RequestView, for request: LocalRequest, status: Int = 200) async throws -> LocalResponse
    {
        guard view.finished != nil else { return Self.json(RequestText.object(view), status: status) }
        let response = try await roomyAnswer(to: request) {
            let result = try await queue.result(of: view.id, tenant: view.tenant)
            return Self.json(
                RequestText.object(view, answer: result.flatMap { StoredAnswer(line: $0.line) }), status: status)
        }
        guard let response else { throw APIError.resultBudgetSpent(retryAfter: .seconds(1)) }
        return response
    }

    // MARK: Asking

    private func answerQuery(_ request: LocalRequest) async throws -> LocalResponse {
        let isRead = request.method == "GET" || request.method == "HEAD"
        switch try LedgerQuery(target: request.target) {
        case .list(let state, let model, let limit, let after):
            guard isRead else { throw APIError.methodNotAllowed(request.method, allowed: "GET, HEAD") }
            let filter = RequestFilter(tenant: request.tenant, state: state, model: model)
            let response = try await roomyAnswer(to: request) { try await list(filter, limit: limit, after: after) }
            guard let response else { throw APIError.resultBudgetSpent(retryAfter: .seconds(1)) }
            return response
        case .request(let id):
            if request.method == "DELETE" { return try await cancel(id, for: request) }
            guard isRead else { throw APIError.methodNotAllowed(request.method, allowed: "GET, HEAD, DELETE") }
            guard let view = try await queue.request(id, tenant: request.tenant) else {
                throw APIError.requestNotFound(id)
            }
            return try await object(view, for: request)
        }
    }

    private func list(_ filter: RequestFilter, limit: Int, after: String?) async throws -> LocalResponse {
        var cursor: Int64 = 0
        if let after {
            guard let view = try await queue.request(after, tenant: filter.tenant) else {
                throw APIError.invalidValue(of: "after", expected: "the id of a request that is still known")
            }
            cursor = view.sequence
        }
        // One more than is shown tells whether there are more.
        var page = try await queue.requests(matching: filter, after: cursor, limit: limit + 1)
        // With nothing found and nothing to go on behind, the caller could not ask for the rest.
        while page.views.isEmpty, page.lastID == nil, !page.isComplete {
            page = try await queue.requests(matching: filter, after: page.cursor, limit: limit + 1)
        }
        let views = Array(page.views.prefix(limit))
        guard page.views.count <= limit else {
            return Self.json(RequestText.list(views, lastID: views.last?.id, hasMore: true))
        }
        return Self.json(RequestText.list(views, lastID: page.lastID, hasMore: !page.isComplete))
    }

    private func cancel(_ id: String, for request: LocalRequest) async throws -> LocalResponse {
        let receipt = try await queue.cancel(id, tenant: request.tenant, generation: nil)
        if receipt == .cancelling { await waitForResult(of: id, atMost: Self.cancellationPatience) }
        guard receipt != .unknown, let view = try await queue.request(id, tenant: request.tenant) else {
            throw APIError.requestNotFound(id)
        }
        switch view.state {
        case .cancelled: return try await object(view, for: request)
        case .succeeded, .failed, .expired: throw APIError.alreadyFinished(id)
        // The wish is noted, and its effect can be seen later.
        case .queued, .running: return try await object(view, for: request, status: 202)
        }
    }

    private static func json(_ body: [UInt8], status: Int = 200) -> LocalResponse {
        LocalResponse(status: status, headers: [(name: HeaderName.contentType, value: "application/json")], body: body)
    }

    /// Returns when the result is there, when there is no more patience, or when the task is cancelled.
    private func waitForResult(of id: String, atMost patience: TimeSpan) async {
        let (queue, clock) = (queue, clock)
        await withTaskGroup(of: Void.self) { group in
            group.addTask { try? await queue.waitForResult(of: id) }
            group.addTask { try? await clock.sleep(for: patience) }
            await group.next()
            group.cancelAll()
        }
    }
}
