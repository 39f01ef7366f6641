import Basics
import Delivery
import MessageQueues

/// A message of the request topic that could be read.
struct ReceivedMessage: Hashable {
    /// Pub/Sub's id of the message.
    let messageID: String
    let orderingKey: String
    /// Which delivery this is, from 1; 0 where the broker does not count.
    let deliveryAttempt: Int
    let published: Instant
    let message: InferenceMessage
    /// Tells this use of the id from others, the same at each delivery: the producer's token, or Pub/Sub's message id.
    let generation: String
    /// What the broker knows of earlier attempts.
    let attempts: AttemptRecord

    /// The attribute with a producer's own token for one submission.
    static let tokenAttribute = "request_token"
    /// A longer token is not used; it would not fit into the attributes of the result.
    static let maximumTokenBytes = 256

    /// Reads a message: its data as `MessageCodec` does, with the attributes in the metadata, where they win.
    ///
    /// Without an `id` it is known by its message id, without a deadline it ends a completion window after it was
    /// published (shared reference `async-processor.md` 2.6).
    init(
        data: [UInt8], attributes: [String: String], messageID: String, orderingKey: String, published: Instant,
        deliveryAttempt: Int, defaults: MessageDefaults, labels: [String: String]
    ) throws(MessageFormatError) {
        var defaults = defaults
        defaults.now = published
        var message: InferenceMessage
        do throws(MessageFormatError) {
            message = try MessageCodec.decode(data, defaults: defaults)
        } catch {
            guard let named = Self.naming(data, messageID) else { throw error }
            guard let decoded = try? MessageCodec.decode(named, defaults: defaults) else { throw error }
            message = decoded
        }
        message.metadata.merge(attributes) { $1 }
        message.labels.merge(labels) { $1 }
        self.messageID = messageID
        self.orderingKey = orderingKey
        self.deliveryAttempt = deliveryAttempt
        self.published = published
        self.message = message
        let token = attributes[Self.tokenAttribute] ?? ""
        generation = token.isEmpty || token.utf8.count > Self.maximumTokenBytes ? messageID : token
        // A delivery need not have been an attempt, and no attempt need have failed: others may have been restarted.
        var attempts = AttemptRecord()
        attempts.dispatches = max(0, deliveryAttempt - 1)
        self.attempts = attempts
    }

    /// The object with a first member `id`, so that one that has its own is still refused for what is wrong with it.
    private static func naming(_ data: [UInt8], _ messageID: String) -> [UInt8]? {
        let space: [UInt8] = [0x20, 0x09, 0x0A, 0x0D]
        guard let start = data.firstIndex(where: { !space.contains($0) }), data[start] == UInt8(ascii: "{"),
            messageID.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "\"") && $0 != UInt8(ascii: "\\") }
            )
        else { return nil }
        return Array("{\"id\":\"\(messageID)\",".utf8) + data[(start + 1)...]
    }
}
