/// Every kind of error response that Weir makes itself: the `code` of the error object, which never changes its
/// meaning.
///
/// Each code's status, type and retry advice stand in one table, `row`.
public enum ErrorCode: String, CaseIterable, Hashable, Sendable {
    /// The request is not valid HTTP.
    case malformedRequest = "malformed_request"
    /// The body is not the JSON object that it should be.
    case invalidJSON = "invalid_json"
    /// The body names no model.
    case missingModel = "missing_model"
    /// A header or field has a value that Weir cannot use.
    case invalidValue = "invalid_value"
    /// No valid credentials.
    case unauthorized = "invalid_api_key"
    /// Valid credentials that do not allow this.
    case forbidden
    /// No pool serves the model.
    case modelNotFound = "model_not_found"
    /// No such path.
    case notFound = "not_found"
    /// The path exists, the method does not.
    case methodNotAllowed = "method_not_allowed"
    /// The request did not arrive in time.
    case requestTimeout = "request_timeout"
    /// The body is larger than the configured limit.
    case bodyTooLarge = "body_too_large"
    /// The request target is longer than the limit.
    case targetTooLong = "uri_too_long"
    /// The header block is larger than the limit.
    case headersTooLarge = "headers_too_large"
    /// The pool has no room, and the request may not wait.
    case saturated
    /// The gateway's queue is full.
    case queueFull = "queue_full"
    /// The request waited as long as it may.
    case queueTimeout = "queue_timeout"
    /// The request could not be answered in the time that it gave.
    case deadlineInfeasible = "deadline_infeasible"
    /// The request was running and had to make room.
    case evicted
    /// The client left; the response is for the log.
    case clientClosed = "client_closed"
    /// No endpoint of the pool is up.
    case noEndpoints = "no_endpoints"
    /// The gateway is going away.
    case shuttingDown = "shutting_down"
    /// The model server broke off or could not be reached.
    case upstreamFailure = "upstream_failure"
    /// The model server did not answer in time, or paused its answer for too long.
    case upstreamTimeout = "upstream_timeout"
    /// The model server's answer is longer than the caller keeps.
    case answerTooLarge = "answer_too_large"
    /// The idempotency key was used before, with another request.
    case idempotencyConflict = "idempotency_conflict"
    /// The request has its result already.
    case alreadyFinished = "already_finished"
    /// The request was cancelled while somebody waited for its result.
    case requestCancelled = "request_cancelled"
    /// No final answer arrived before the deadline of the request.
    case deadlineExceeded = "deadline_exceeded"
    /// The request has no result yet, and was waited for as long as may be.
    case notFinished = "not_finished"
    /// The queue gave the request up: no model server could be made to answer it.
    case deliveryFailed = "delivery_failed"
    /// The queue cannot be used now.
    case queueUnavailable = "queue_unavailable"
    /// A fault of Weir's own.
    case internalError = "internal_error"

    /// What a code implies.
    public struct Row: Hashable, Sendable {
        /// HTTP status.
        public let status: Int
        /// `type` of the error object, in OpenAI's vocabulary.
        public let type: String
        /// Whether the same request may succeed later.
        public let isRetryable: Bool
        /// Why the request was dropped, for codes that mean a drop.
        public let dropReason: DropReason?
    }

    /// The table of errors.
    public var row: Row {
        switch self {
        case .malformedRequest, .invalidJSON, .missingModel, .invalidValue: Self.mistake(400)
        case .unauthorized: Row(status: 401, type: "authentication_error", isRetryable: false, dropReason: nil)
        case .forbidden: Row(status: 403, type: "permission_error", isRetryable: false, dropReason: nil)
        case .modelNotFound, .notFound: Self.mistake(404)
        case .methodNotAllowed: Self.mistake(405)
        case .requestTimeout: Row(status: 408, type: "timeout_error", isRetryable: true, dropReason: nil)
        case .bodyTooLarge: Self.mistake(413)
        case .targetTooLong: Self.mistake(414)
        case .headersTooLarge: Self.mistake(431)
        case .saturated, .queueFull: Self.shed(.saturated)
        case .queueTimeout, .deadlineInfeasible: Self.shed(.ttlExpired)
        case .evicted: Self.shed(.evicted)
        case .clientClosed: Self.unavailable(503, .contextCancelled)
        case .noEndpoints: Self.unavailable(503, .noEndpoints)
        case .shuttingDown: Self.unavailable(503, .shuttingDown)
        case .upstreamFailure: Self.unavailable(502, nil)
        case .upstreamTimeout: Self.unavailable(504, nil)
        case .answerTooLarge: Row(status: 502, type: "server_error", isRetryable: false, dropReason: nil)
        case .idempotencyConflict, .alreadyFinished, .requestCancelled: Self.mistake(409)
        // To submit these again would be another request, with work that has been done once: that is the caller's
        // choice.
        case .deadlineExceeded, .notFinished:
            Row(status: 504, type: "timeout_error", isRetryable: false, dropReason: nil)
        case .deliveryFailed: Row(status: 502, type: "server_error", isRetryable: false, dropReason: nil)
        case .queueUnavailable: Self.unavailable(503, nil)
        case .internalError: Row(status: 500, type: "server_error", isRetryable: true, dropReason: nil)
        }
    }

    private static func mistake(_ status: Int) -> Row {
        Row(status: status, type: "invalid_request_error", isRetryable: false, dropReason: nil)
    }

    private static func shed(_ reason: DropReason) -> Row {
        Row(status: 429, type: "rate_limit_error", isRetryable: true, dropReason: reason)
    }

    private static func unavailable(_ status: Int, _ reason: DropReason?) -> Row {
        Row(status: status, type: "server_error", isRetryable: true, dropReason: reason)
    }
}
