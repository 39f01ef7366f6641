public import Delivery
import InferenceAPI

/// Writes results as lines of JSON: the members of shared reference `async-processor.md` 2.3 and more.
public enum ResultCodec {
    /// The result as one line of JSON in UTF-8, without a line end.
    ///
    /// `payload` is the answer's body as a string; a body that is not valid UTF-8 is in base64, and `payload_encoding` says
    /// so. Without a body it holds an error object made from the error message. Times are Unix seconds. Counts of failures,
    /// sheds and evictions, `dead_letter` and `tenant` are left out where there is nothing to say.
    public static func encode(_ result: InferenceResult) -> [UInt8] {
        var line = JSONWriter(capacity: 512 + (result.payload?.count ?? 0) * 5 / 4)
        line.member("id", result.id)
        if !result.generation.isEmpty { line.member("request_token", result.generation) }
        line.member("queue", result.queue)
        if !result.tenant.isEmpty { line.member("tenant", result.tenant) }
        if let statusCode = result.statusCode { line.member("status_code", statusCode) }
        if let payload = result.payload {
            if String(validating: payload, as: UTF8.self) != nil {
                line.member("payload", text: payload)
            } else {
                line.member("payload", Base64.text(payload))
                line.member("payload_encoding", "base64")
            }
        } else {
            var object = JSONWriter()
            object.member("error", result.errorMessage ?? "no answer")
            line.member("payload", text: object.finish())
        }
        if let contentType = result.contentType { line.member("content_type", contentType) }
        if let errorCode = result.errorCode { line.member("error_code", errorCode.rawValue) }
        if let errorMessage = result.errorMessage { line.member("error_message", errorMessage) }
        line.member("path", result.path)
        if let model = result.model { line.member("model", model) }
        if let endpoint = result.endpoint { line.member("endpoint", endpoint) }
        if let usage = result.usage {
            var object = JSONWriter()
            object.member("prompt_tokens", usage.promptTokens)
            object.member("completion_tokens", usage.completionTokens)
            object.member("cached_prompt_tokens", usage.cachedPromptTokens)
            line.member("usage", object)
        }
        line.member("attempts", result.attempts.dispatches)
        if result.attempts.failures > 0 { line.member("failures", result.attempts.failures) }
        if result.attempts.sheds > 0 { line.member("sheds", result.attempts.sheds) }
        if result.attempts.evictions > 0 { line.member("evictions", result.attempts.evictions) }
        if result.isDeadLetter { line.member("dead_letter", true) }
        line.member("created", result.created)
        line.member("enqueued", result.enqueued)
        if let dispatched = result.attempts.firstDispatched { line.member("first_dispatched", dispatched) }
        line.member("finished", result.finished)
        if !result.metadata.isEmpty { line.member("metadata", result.metadata) }
        return line.finish()
    }
}
