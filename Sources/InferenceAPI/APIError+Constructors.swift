public import Basics

// The sentences. Text that a client sent is quoted only in part, so that no response grows with its request.
extension APIError {
    /// 400: the request line, a header or the framing is not valid HTTP. `detail` completes "The request ...".
    public static func malformedRequest(_ detail: String) -> APIError {
        APIError(.malformedRequest, "The request \(detail).")
    }

    /// 400: the body is not a JSON object.
    public static func invalidJSON(_ defect: JSONDefect) -> APIError {
        if defect.kind == .modelTooLong {
            return APIError(.invalidValue, "The request body \(defect).", parameter: "model")
        }
        return APIError(.invalidJSON, "The request body \(defect).")
    }

    /// 400: the body has no usable `model`.
    public static var missingModel: APIError {
        APIError(
            .missingModel, "The request body must name a model: a non-empty string under \"model\".",
            parameter: "model")
    }

    /// 400: a header or field cannot be used; `expectation` completes "must be ...".
    public static func invalidValue(of parameter: String, expected expectation: String) -> APIError {
        APIError(.invalidValue, "The value of \(excerpt(parameter)) must be \(expectation).", parameter: parameter)
    }

    /// 401: no valid API key came with the request.
    public static var unauthorized: APIError {
        APIError(.unauthorized, "A valid API key is needed: send it as 'Authorization: Bearer <key>'.")
    }

    /// 403: the caller may not do this. `detail` is a sentence.
    public static func forbidden(_ detail: String) -> APIError { APIError(.forbidden, detail) }

    /// 404: no pool serves the model.
    public static func modelNotFound(_ model: String) -> APIError {
        APIError(
            .modelNotFound,
            "The model '\(excerpt(model))' does not exist here; GET /v1/models lists those that do.",
            parameter: "model")
    }

    /// 404: no such path.
    public static func notFound(path: String) -> APIError {
        APIError(.notFound, "There is nothing at '\(excerpt(path))'; the API is under /v1/.")
    }

    /// 405: the path does not take this method. `allowed` is also the value of the `Allow` header.
    public static func methodNotAllowed(_ method: String, allowed: String) -> APIError {
        APIError(
            .methodNotAllowed, "\(excerpt(method)) is not possible here; use \(allowed).", allowedMethods: allowed)
    }

    /// 408: the request did not arrive whole within the time limit.
    public static func requestTimeout(after limit: TimeSpan) -> APIError {
        APIError(.requestTimeout, "The request did not arrive within \(seconds(limit)).")
    }

    /// 413: the body exceeds the configured limit.
    public static func bodyTooLarge(limitBytes: Int) -> APIError {
        APIError(.bodyTooLarge, "The request body is larger than the limit of \(limitBytes) bytes.")
    }

    /// 414: the request target exceeds the limit.
    public static func targetTooLong(limitBytes: Int) -> APIError {
        APIError(.targetTooLong, "The request target is longer than the limit of \(limitBytes) bytes.")
    }

    /// 431: the header block exceeds the limit.
    public static func headersTooLarge(limitBytes: Int) -> APIError {
        APIError(.headersTooLarge, "The request headers are larger than the limit of \(limitBytes) bytes.")
    }

    /// 429: no room, and this request does not wait for it.
    public static func saturated(retryAfter: TimeSpan?) -> APIError {
        APIError(.saturated, "All model servers are busy; try again later.", retryAfter: retryAfter)
    }

    /// 429: all requests together hold as many body bytes as they may.
    public static func bodyBudgetSpent(retryAfter: TimeSpan?) -> APIError {
        APIError(
            .saturated, "This gateway holds as many bytes of request bodies as it may; try again later.",
            retryAfter: retryAfter)
    }

    /// 429: as many bytes of stored results as may be are on their way to clients.
    public static func resultBudgetSpent(retryAfter: TimeSpan?) -> APIError {
        APIError(
            .saturated, "This gateway is sending as many stored results as it may; try again later.",
            retryAfter: retryAfter)
    }

    /// 429: the queue in front of the pool is full.
    public static func queueFull(retryAfter: TimeSpan?) -> APIError {
        APIError(.queueFull, "Too many requests are waiting already; try again later.", retryAfter: retryAfter)
    }

    /// 429: the request waited in the queue for as long as it may.
    public static func queueTimeout(after ttl: TimeSpan, retryAfter: TimeSpan?) -> APIError {
        APIError(
            .queueTimeout, "No model server became free within \(seconds(ttl)); try again later.",
            retryAfter: retryAfter)
    }

    /// 429: by what is known now the request could not be answered in the time that it gave.
    ///
    /// - Parameter earliest: in how much time it could be.
    public static func deadlineInfeasible(earliest: TimeSpan?, retryAfter: TimeSpan?) -> APIError {
        let outlook = earliest.map { " It could be answered in about \(seconds($0))." } ?? ""
        return APIError(
            .deadlineInfeasible, "The request could not be answered within its time.\(outlook)", retryAfter: retryAfter)
    }

    /// 429: the request was running and had to make room.
    public static func evicted(_ reason: DropReason = .evicted, retryAfter: TimeSpan?) -> APIError {
        APIError(
            .evicted, "The request was stopped to make room for more urgent ones; try again later.",
            retryAfter: retryAfter, dropReason: reason)
    }

    /// 503: the client left before its turn; nobody reads this response, the access log does.
    public static var clientClosed: APIError { APIError(.clientClosed, "The client closed the connection.") }

    /// 503: no endpoint of the pool can take requests now.
    public static func noEndpoints(model: String?, retryAfter: TimeSpan?) -> APIError {
        let subject = model.map { "the model '\(excerpt($0))'" } ?? "this request"
        return APIError(.noEndpoints, "No model server for \(subject) is up; try again later.", retryAfter: retryAfter)
    }

    /// 503: the gateway is draining.
    public static func shuttingDown(retryAfter: TimeSpan?) -> APIError {
        APIError(.shuttingDown, "This gateway is shutting down; try again.", retryAfter: retryAfter)
    }

    /// 502: the model server could not be reached or broke off. `detail` completes "The model server ...".
    public static func upstreamFailure(_ detail: String) -> APIError {
        APIError(.upstreamFailure, "The model server \(detail).")
    }

    /// 504: the model server kept silent for too long.
    public static func upstreamTimeout(after limit: TimeSpan) -> APIError {
        APIError(.upstreamTimeout, "The model server did not answer within \(seconds(limit)).")
    }

    /// 504: the model server began its answer and then kept silent for too long.
    public static func upstreamStalled(after limit: TimeSpan) -> APIError {
        APIError(.upstreamTimeout, "The model server paused its answer for longer than \(seconds(limit)).")
    }

    /// 502: the model server's answer is longer than the caller keeps; asking again would give another such answer.
    public static func answerTooLarge(limitBytes: Int) -> APIError {
        APIError(.answerTooLarge, "The model server's answer is longer than the limit of \(limitBytes) bytes.")
    }

    /// 404: queued requests are asked for where there is no queue.
    public static var noQueue: APIError {
        APIError(.notFound, "No queue is configured here, so there are no queued requests.")
    }

    /// 400: a request is to be queued where there is no queue.
    public static var modeNeedsQueue: APIError {
        APIError(
            .invalidValue, "No queue is configured here, so the mode must be passthrough, or not given.",
            parameter: HeaderName.mode.newest)
    }

    /// 404: the caller has no queued request with this id.
    public static func requestNotFound(_ id: String) -> APIError {
        APIError(.notFound, "There is no request '\(excerpt(id))'; results are kept for a limited time.")
    }

    /// 409: the idempotency key belongs to another request.
    public static var idempotencyConflict: APIError {
        APIError(
            .idempotencyConflict,
            "The idempotency key was used before with another path or body; use a new key for a new request.",
            parameter: HeaderName.idempotencyKey)
    }

    /// 409: what is to be cancelled has a result.
    public static func alreadyFinished(_ id: String) -> APIError {
        APIError(.alreadyFinished, "The request '\(excerpt(id))' has finished; it cannot be cancelled any more.")
    }

    /// 409: the request that is waited for was cancelled.
    public static func requestCancelled(_ id: String) -> APIError {
        APIError(.requestCancelled, "The request '\(excerpt(id))' was cancelled.")
    }

    /// 504: the deadline of a queued request passed.
    public static func deadlineExceeded(_ id: String) -> APIError {
        APIError(
            .deadlineExceeded,
            "The request '\(excerpt(id))' was not answered before its deadline; GET /v1/requests/<id> tells more.")
    }

    /// 504: a queued request takes longer than its submitter may wait.
    public static func notFinished(_ id: String) -> APIError {
        APIError(
            .notFinished,
            "The request '\(excerpt(id))' goes on, but is waited for no longer; GET /v1/requests/<id> fetches its result."
        )
    }

    /// 502: the queue could not get an answer. `reason` is a clause.
    public static func deliveryFailed(_ id: String, reason: String?) -> APIError {
        APIError(
            .deliveryFailed,
            "The request '\(excerpt(id))' could not be carried out: \(excerpt(reason ?? "no model server answered")).")
    }

    /// 429: as many callers wait for results as may.
    public static func tooManyWaiting(limit: Int) -> APIError {
        APIError(
            .queueFull, "\(limit) requests are waited for already; submit with the mode enqueue, or try again later.",
            retryAfter: .seconds(5))
    }

    /// 503: the queue cannot be read or written now.
    public static var queueUnavailable: APIError {
        APIError(
            .queueUnavailable, "The queue cannot be used now; try again later.",
            retryAfter: .seconds(5))
    }

    /// 500: a fault of Weir's own; the request id finds it in the log.
    public static var internalError: APIError {
        APIError(.internalError, "The gateway failed to handle the request; its log has the details.")
    }

    /// At most the first 128 characters of `text`.
    private static func excerpt(_ text: String) -> String {
        let limit = 128
        let head = String(decoding: text.utf8.prefix(4 * limit), as: UTF8.self).prefix(limit)
        return head.utf8.count == text.utf8.count ? text : head + "…"
    }

    private static func seconds(_ span: TimeSpan) -> String {
        let milliseconds = span.nanoseconds / 1_000_000
        if milliseconds < 1000 { return "\(milliseconds) ms" }
        let tenths = (milliseconds % 1000) / 100
        return tenths == 0 ? "\(milliseconds / 1000) s" : "\(milliseconds / 1000).\(tenths) s"
    }
}
