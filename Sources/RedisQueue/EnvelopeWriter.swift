import Basics
import Delivery
import MessageQueues

/// A message as it is submitted: the member of the queue's sorted set, open at the number of its submission, which the server
/// gives (`ProducerScripts.enqueue`). Written in the order of the published producers, which the scripts count on.
struct SubmittedMember: Sendable {
    let head: [UInt8]
    let tail: [UInt8]
    /// The deadline in whole Unix seconds, as the wire has it: rounded up, so that no time is taken away.
    let deadline: Int64

    init(_ message: InferenceMessage, token: String, queue: String, resultQueue: String, enqueued: Instant) {
        let nanosecond = message.deadline.nanoseconds
        deadline = max(1, nanosecond / 1_000_000_000 + (nanosecond % 1_000_000_000 > 0 ? 1 : 0))

        var routing = JSONWriter(capacity: 256)
        routing.member("request_token", token)
        routing.member("request_queue_name", queue)
        routing.member("result_queue_name", resultQueue)
        routing.member("enqueued_at_ms", Int(enqueued.nanoseconds / 1_000_000))
        if !message.labels.isEmpty { routing.member("labels", message.labels) }
        var head = Array(#"{"internal":"#.utf8) + routing.finish()
        head.removeLast()
        self.head = head + Array(#","enqueue_seq":"#.utf8)

        var data = JSONWriter(capacity: 512 + message.payload.count)
        data.member("id", message.id)
        data.member("created", Int(max(0, message.created.nanoseconds) / 1_000_000_000))
        data.member("deadline", Int(deadline))
        data.member("payload", json: message.payload)
        if !message.metadata.isEmpty { data.member("metadata", message.metadata) }
        if !message.headers.isEmpty { data.member("headers", message.headers) }
        data.member("endpoint", message.path)
        // Not known to other processors, which ignore them.
        if !message.tenant.isEmpty { data.member("tenant", message.tenant) }
        if message.priority != 0 { data.member("priority", message.priority) }
        if let webhook = message.webhook { data.member("webhook", webhook) }
        var envelope = JSONWriter(capacity: 64 + message.payload.count)
        envelope.member("request_kind", "plain")
        envelope.member("data", json: data.finish())
        tail = Array("},".utf8) + envelope.finish().dropFirst()
    }
}
