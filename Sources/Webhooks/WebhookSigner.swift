import Crypto
public import MessageQueues

/// Signs posts as the Standard Webhooks specification (1.0) says, so that its libraries can verify them.
public struct WebhookSigner: Sendable {
    /// The fields that a signed post carries.
    public struct Fields: Hashable, Sendable {
        /// `webhook-id`: the same whenever the same result is posted, so that a receiver can tell repetitions.
        public let id: String
        /// `webhook-timestamp`: when this post was made, in Unix seconds.
        public let timestamp: String
        /// `webhook-signature`: the version of the scheme and the signature.
        public let signature: String
    }

    private let key: SymmetricKey

    /// Takes the shared secret: `whsec_` followed by the key in base64, or any other text, whose bytes are the key.
    ///
    /// Nil if what follows `whsec_` is not base64.
    public init?(secret: String) {
        guard secret.hasPrefix("whsec_") else {
            self.init(key: Array(secret.utf8))
            return
        }
        guard let key = Base64.bytes(String(secret.dropFirst("whsec_".count))) else { return nil }
        self.init(key: key)
    }

    init(key: [UInt8]) { self.key = SymmetricKey(data: key) }

    /// The fields for posting `body` on behalf of `webhook` at so many seconds since the Unix epoch.
    public func fields(for webhook: PendingWebhook, unixSeconds: Int64, body: [UInt8]) -> Fields {
        let id = Self.identifier(of: webhook)
        let timestamp = String(unixSeconds)
        return Fields(id: id, timestamp: timestamp, signature: signature(id: id, timestamp: timestamp, body: body))
    }

    /// `v1,` and the HMAC-SHA256, in base64, of id, timestamp and body with full stops between them.
    func signature(id: String, timestamp: String, body: [UInt8]) -> String {
        var mac = HMAC<SHA256>(key: key)
        mac.update(data: Array("\(id).\(timestamp).".utf8))
        mac.update(data: body)
        return "v1," + Base64.text(Array(mac.finalize()))
    }

    /// A digest of whose request it is, its id, and which use of the id.
    ///
    /// Ids are the clients' own and may hold anything; the field must be printable and free of full stops.
    static func identifier(of webhook: PendingWebhook) -> String {
        let name = [webhook.tenant, webhook.id, webhook.generation].joined(separator: "\0")
        let digits = SHA256.hash(data: Array(name.utf8)).prefix(16).map { byte in
            (byte < 0x10 ? "0" : "") + String(byte, radix: 16)
        }
        return "msg_" + digits.joined()
    }
}
