/// A secret that is sent as `Authorization: Bearer`; never shown by any description of it.
public struct BearerToken: Hashable, Sendable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable
{
    let value: String

    /// Keeps a token.
    public init(_ value: String) { self.value = value }

    /// Never the token.
    public var description: String { "(secret)" }
    /// Never the token.
    public var debugDescription: String { description }
    /// Nothing to look into.
    public var customMirror: Mirror { Mirror(self, children: []) }
}

/// Where the requests of one queue go, and what they say of themselves.
public struct RemoteTarget: Sendable, CustomStringConvertible {
    /// The gateway.
    public var url: GatewayURL
    /// The objective that the gateway knows the queue's priority by; nil sends none.
    public var objective: String?
    /// Which of the producer's headers are passed on.
    public var producerHeaders = ProducerHeaderRule()
    /// Headers for every request. Those that a producer sends under the same name are not passed on.
    public var headers: [(name: String, value: String)] = []
    /// The credentials for the gateway.
    public var token: BearerToken?
    /// The item of a message's metadata that requests are shared fairly by; the tenant where there is none. Empty sends no
    /// fairness id at all.
    public var fairnessAttribute = "userid"
    /// The header for the fairness id.
    public var fairnessHeader = "x-llm-d-inference-fairness-id"
    /// Whether headers are also sent under the names that they had in older gateways, `x-gateway-*`.
    public var sendsOlderNames = true
    /// The name by which a Weir gateway knows this processor from its capacity feed; see `CapacityFeed`. Requests then count
    /// as messages: they wait there until their deadline, and may be called back at any time.
    public var processor: String?
    /// A longer answer ends its message with an error.
    public var maximumAnswerBytes = 64 << 20

    /// Creates a target with the defaults.
    public init(url: GatewayURL, objective: String? = nil) {
        self.url = url
        self.objective = objective
    }

    /// The URL; what else there is may be secret.
    public var description: String { url.description }
}
