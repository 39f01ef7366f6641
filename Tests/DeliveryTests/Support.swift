import Basics
import Delivery
import InferenceAPI

/// When the worlds of these tests begin, as calendar time.
let epoch = Instant(seconds: 1_800_000_000)

/// A message to a model, due so long after `epoch`.
func message(
    _ id: String = "m", model: String? = "llama", window: TimeSpan = .seconds(3600), body: String = "{}"
) -> InferenceMessage {
    InferenceMessage(
        id: id, created: epoch, deadline: epoch + window, path: "/v1/completions", payload: Array(body.utf8),
        model: model, metadata: ["job": "7"], tenant: "team")
}

/// The message in the hands of a consumer.
func leased(_ message: InferenceMessage = message(), attempts: AttemptRecord = AttemptRecord()) -> LeasedMessage {
    LeasedMessage(
        lease: Lease(sequence: 1, token: 1), message: message, attempts: attempts, generation: "g1",
        enqueued: epoch + .seconds(1))
}

/// A whole answer of an endpoint.
func answer(
    _ status: Int, body: String = "{}", retryAfter: TimeSpan? = nil, dropReason: String? = nil, tokens: Int = 5
) -> AttemptOutcome {
    .answered(
        AttemptResponse(
            statusCode: status, body: Array(body.utf8), contentType: "application/json", retryAfter: retryAfter,
            dropReason: dropReason, endpoint: "http://a",
            usage: TokenUsage(promptTokens: 3, completionTokens: tokens)))
}

let noRoom = AttemptOutcome.rejected(.capacity, reason: "queue full", retryAfter: nil)
let refusedConnection = AttemptOutcome.failed(.connectFailed, endpoint: "http://a")
