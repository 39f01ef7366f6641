public import Delivery
import InferenceAPI

/// Writes results as lines of JSON: the members of shared reference `async-processor.md` 2.3 and more.
public enum ResultCodec {
    /// The result as one line of JSON in UTF-8, without a line end.
    ///
    /// `payload` is the answer's body as a string; a body that is not valid UTF-8 is in base64, and `payload_encoding` says
    /// so. Without a body it holds an error object made from the error message. Times are Unix seconds.
    public static func encode(_ result: InferenceResult) -> [UInt8] {
        var line = JSONWriter(capacity: 512 + (result.payload?.count ?? 0) * 5 / 4)
        line.member("id", result.id)
        if let statusCode = result.statusCode { line.member("status_code", statusCode) }
        if let payload = result.payload {
            if String(validating: payload, as: UTF8.self) != nil {
                line.member("payload", text: payload)
            } else {
                line.member("payload", text: base64(payload))
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
        if result.attempts.evictions > 0 { line.member("evictions", result.attempts.evictions) }
        line.member("created", result.created)
        if let dispatched = result.attempts.firstDispatched { line.member("first_dispatched", dispatched) }
        line.member("finished", result.finished)
        if !result.metadata.isEmpty { line.member("metadata", result.metadata) }
        return line.finish()
    }

    private static func base64(_ bytes: [UInt8]) -> [UInt8] {
        let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
        var text: [UInt8] = []
        text.reserveCapacity((bytes.count + 2) / 3 * 4)
        for start in stride(from: 0, to: bytes.count, by: 3) {
            let group = bytes[start..<min(start + 3, bytes.count)]
            let bits = group.reduce(UInt32(0)) { $0 << 8 | UInt32($1) } << UInt32(8 * (3 - group.count))
            for place in 0..<4 {
                let index = Int(bits >> UInt32(18 - 6 * place)) & 0x3F
                text.append(place <= group.count ? alphabet[index] : UInt8(ascii: "="))
            }
        }
        return text
    }
}
