public import Basics

/// One asynchronous inference request as a producer submitted it.
///
/// The public format is that of the llm-d async processor (shared reference `async-processor.md` 2.1). Times are instants
/// since the Unix epoch, because they outlive the process; `Instant` ends in 2043, and a later deadline means "no hurry".
public struct InferenceMessage: Hashable, Sendable {
    /// What the producer knows it by; unique within a queue, and the key of its one result.
    public var id: String
    /// When the producer made it.
    public var created: Instant
    /// When its answer stops being of use.
    public var deadline: Instant
    /// The path it is posted to, for example `/v1/chat/completions`.
    public var path: String
    /// The request body, byte for byte as it was submitted.
    public var payload: [UInt8]
    /// The `model` named in the body, if there is one.
    public var model: String?
    /// Header fields for the request, in addition to those that the gateway sets.
    public var headers: [String: String]
    /// Opaque to the queue; returned with the result.
    public var metadata: [String: String]
    /// Whose it is: tenants share a priority class fairly and see only what is theirs. Empty where there are no tenants.
    public var tenant: String
    /// Its priority class, -9...9: a message is taken before all those of a lower class. 0 is the ordinary one.
    public var priority: Int
    /// Where the result is posted to as well, if the operator allows it: an absolute URL.
    public var webhook: String?
    /// What the transport or its configuration says about the message, for gates and merge policies (shared reference
    /// `async-processor.md` 2.2); not part of what was asked, and not stored by the embedded queue.
    public var labels: [String: String] = [:]

    /// The priority classes that there are.
    public static let priorityRange = -9...9

    /// Creates a message.
    public init(
        id: String, created: Instant, deadline: Instant, path: String, payload: [UInt8], model: String? = nil,
        headers: [String: String] = [:], metadata: [String: String] = [:], tenant: String = "", priority: Int = 0,
        webhook: String? = nil
    ) {
        self.id = id
        self.created = created
        self.deadline = deadline
        self.path = path
        self.payload = payload
        self.model = model
        self.headers = headers
        self.metadata = metadata
        self.tenant = tenant
        self.priority = priority
        self.webhook = webhook
    }

    /// What the message needs to run: the model it names, empty if it names none. Failures and capacity are a target's.
    public var target: String { model ?? "" }

    /// A digest of what is asked (path and payload): two submissions of one id with equal digests are the same request.
    ///
    /// FNV-1a, 64 bits. It tells an honest resubmission from a mistaken reuse of an id, and is no defence against a
    /// producer that works at fooling itself.
    public var contentDigest: UInt64 {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        func mix(_ byte: UInt8) { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
        for byte in path.utf8 { mix(byte) }
        mix(0xFF)
        for byte in payload { mix(byte) }
        return hash
    }
}
