import Delivery
import Gateway
import InferenceAPI
import MessageQueues

/// What the one who waits for a request is answered. Pure.
enum ResultAnswer {
    /// There is no result yet; here is where it will be.
    static func notFinished(_ id: String) -> LocalResponse {
        let location = (name: HeaderName.location, value: "\(LedgerQuery.path)/\(id)")
        return LocalResponse(.notFinished(id), headers: identity(id) + [location])
    }

    /// There is no result, and what comes now comes too late.
    static func deadlineExceeded(_ id: String) -> LocalResponse {
        LocalResponse(.deadlineExceeded(id), headers: identity(id))
    }

    /// The result: the model server's answer as it was, or why there is none.
    static func response(to id: String, line: [UInt8]) -> LocalResponse {
        guard let answer = StoredAnswer(line: line) else { return LocalResponse(.internalError, headers: identity(id)) }
        switch answer.errorCode {
        case DeliveryErrorCode.deadlineExceeded.rawValue:
            return deadlineExceeded(id)
        case DeliveryErrorCode.cancelled.rawValue:
            return LocalResponse(.requestCancelled(id), headers: identity(id))
        default: break
        }
        guard let status = answer.statusCode, let body = answer.body else {
            return LocalResponse(.deliveryFailed(id, reason: answer.errorMessage), headers: identity(id))
        }
        var headers = identity(id)
        if let type = answer.contentType { headers.append((name: HeaderName.contentType, value: type)) }
        // Weir has retried what could be retried; a client's own retry would be another request.
        if status >= 400 { headers.append((name: HeaderName.shouldRetry, value: "false")) }
        return LocalResponse(status: status, headers: headers, body: body)
    }

    private static func identity(_ id: String) -> [(name: String, value: String)] {
        [(name: HeaderName.queuedRequestID, value: id)]
    }
}
