import Delivery
import EmbeddedQueue
import Foundation
import MessageQueues

/// Requests as lines of JSON, with the names that submitted lines and results have.
enum RequestLine {
    /// What a listing says of a request; more can be added.
    static func members(_ view: RequestView) -> JSONWriter {
        var line = JSONWriter()
        line.member("id", view.id)
        line.member("request_token", view.generation)
        line.member("state", view.state.rawValue)
        if !view.tenant.isEmpty { line.member("tenant", view.tenant) }
        line.member("priority", view.priority)
        line.member("path", view.path)
        if let model = view.model { line.member("model", model) }
        add(view.attempts, to: &line)
        line.member("created", view.created)
        line.member("enqueued", view.enqueued)
        line.member("deadline", view.deadline)
        if let next = view.nextAttempt { line.member("next_attempt", next) }
        if let ahead = view.ahead { line.member("ahead", ahead) }
        if let finished = view.finished { line.member("finished", finished) }
        if let status = view.statusCode { line.member("status_code", status) }
        if let code = view.errorCode { line.member("error_code", code) }
        return line
    }

    /// Everything that is known of a request, its body and its result included.
    static func object(_ detail: RequestDetail) -> [UInt8] {
        var line = members(detail.view)
        if !detail.headers.isEmpty { line.member("headers", detail.headers) }
        if !detail.metadata.isEmpty { line.member("metadata", detail.metadata) }
        if let webhook = detail.webhook { line.member("webhook", webhook) }
        if let payload = detail.payload { add(payload: payload, to: &line) }
        if let result = detail.result { line.member("result", json: result) }
        return line.finish()
    }

    /// A message that was given up, and why.
    static func object(_ letter: DeadLetter) -> [UInt8] {
        var line = JSONWriter()
        line.member("id", letter.message.id)
        if !letter.message.tenant.isEmpty { line.member("tenant", letter.message.tenant) }
        if let code = letter.errorCode { line.member("error_code", code) }
        if let reason = letter.reason { line.member("reason", reason) }
        line.member("died", letter.died)
        line.member("enqueued", letter.enqueued)
        line.member("deadline", letter.message.deadline)
        line.member("priority", letter.message.priority)
        line.member("path", letter.message.path)
        if let model = letter.message.model { line.member("model", model) }
        add(letter.attempts, to: &line)
        if let status = letter.attempts.lastStatusCode { line.member("status_code", status) }
        line.member("complete", letter.isComplete)
        if letter.isComplete { add(payload: letter.message.payload, to: &line) }
        return line.finish()
    }

    private static func add(_ attempts: AttemptRecord, to line: inout JSONWriter) {
        line.member("attempts", attempts.dispatches)
        if attempts.failures > 0 { line.member("failures", attempts.failures) }
        if attempts.sheds > 0 { line.member("sheds", attempts.sheds) }
        if attempts.evictions > 0 { line.member("evictions", attempts.evictions) }
        if let first = attempts.firstDispatched { line.member("first_dispatched", first) }
        if let error = attempts.lastError { line.member("last_error", error) }
    }

    /// As JSON if it is some, or else as a string.
    private static func add(payload: [UInt8], to line: inout JSONWriter) {
        if (try? JSONSerialization.jsonObject(with: Data(payload), options: .fragmentsAllowed)) != nil {
            line.member("payload", onOneLine: payload)
        } else {
            line.member("payload", String(decoding: payload, as: UTF8.self))
        }
    }
}
