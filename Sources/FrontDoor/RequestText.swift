import Delivery
import MessageQueues

/// Writes what the front door tells of queued requests. Pure.
enum RequestText {
    /// A request that has just been stored.
    static func object(_ message: InferenceMessage) -> [UInt8] {
        var object = JSONWriter()
        begin(
            &object, id: message.id, status: .queued, path: message.path, model: message.model,
            priority: message.priority)
        object.member("created_at", message.created)
        object.member("deadline", message.deadline)
        if !message.metadata.isEmpty { object.member("metadata", json: MessageCodec.encodeMap(message.metadata)) }
        return object.finish()
    }

    /// A request as it stands, with its result if that is wanted and at hand.
    static func object(_ view: RequestView, answer: StoredAnswer? = nil) -> [UInt8] {
        var object = JSONWriter()
        begin(
            &object, id: view.id, status: view.state, path: view.path, model: view.model, priority: view.priority)
        object.member("created_at", view.created)
        object.member("enqueued_at", view.enqueued)
        object.member("deadline", view.deadline)
        if let dispatched = view.attempts.firstDispatched { object.member("started_at", dispatched) }
        if let finished = view.finished { object.member("finished_at", finished) }
        if let next = view.nextAttempt { object.member("next_attempt_at", next) }
        object.member("attempts", view.attempts.dispatches)
        if view.attempts.evictions > 0 { object.member("evictions", view.attempts.evictions) }
        if let ahead = view.ahead {
            object.member("ahead", ahead)
            if ahead >= RequestView.aheadLimit { object.member("ahead_is_limited", true) }
        }
        if view.finished == nil, let error = view.attempts.lastError { object.member("last_error", error) }
        if let code = view.errorCode {
            var error = JSONWriter()
            error.member("code", code)
            if let message = answer?.errorMessage { error.member("message", message) }
            object.member("error", json: error.finish())
        }
        if let answer, let result = result(answer) { object.member("result", json: result) }
        return object.finish()
    }

    /// A page of a listing, in the form of OpenAI's lists. `lastID` is where the next page begins: a request behind the last
    /// one shown if those between do not match.
    static func list(_ views: [RequestView], lastID: String?, hasMore: Bool) -> [UInt8] {
        var list = JSONWriter()
        list.member("object", "list")
        list.member("data", array: views.map { object($0) })
        if let first = views.first { list.member("first_id", first.id) }
        if let lastID { list.member("last_id", lastID) }
        list.member("has_more", hasMore)
        return list.finish()
    }

    private static func begin(
        _ object: inout JSONWriter, id: String, status: RequestState, path: String, model: String?, priority: Int
    ) {
        object.member("id", id)
        object.member("object", "request")
        object.member("status", status.rawValue)
        object.member("path", path)
        if let model { object.member("model", model) }
        object.member("priority", priority)
    }

    /// The answer: JSON as JSON, other text as a string, other bytes in base64. Nil if no answer arrived.
    private static func result(_ answer: StoredAnswer) -> [UInt8]? {
        guard let body = answer.body else { return nil }
        var result = JSONWriter()
        if let status = answer.statusCode { result.member("status_code", status) }
        if let type = answer.contentType { result.member("content_type", type) }
        if isJSON(answer.contentType), answer.bodyIsJSON {
            result.member("body", json: body)
        } else if let text = String(validating: body, as: UTF8.self) {
            result.member("body", text)
        } else {
            result.member("body", Base64.text(body))
            result.member("body_encoding", "base64")
        }
        return result.finish()
    }

    private static func isJSON(_ contentType: String?) -> Bool {
        guard let type = contentType?.prefix(while: { $0 != ";" && $0 != " " }).lowercased() else { return false }
        return type == "application/json" || type.hasSuffix("+json")
    }
}
