public import Basics

/// The request that a gate is asked about.
public struct GateSubject: Hashable, Sendable {
    /// What the caller knows the dispatch attempt by: unique among those that have not been released.
    public var id: UInt64
    /// The queue it came from.
    public var queue: String
    /// The producer's metadata; quotas are kept per value of one of its attributes.
    public var metadata: [String: String]
    /// Labels of the transport and the configuration: `tier`, `classification`.
    public var labels: [String: String]
    /// Whose it is.
    public var tenant: String
    /// Its priority class.
    public var priority: Int
    /// The model it asks for, if it names one.
    public var model: String?
    /// When its answer stops being of use.
    public var deadline: Instant

    /// Creates a subject.
    public init(
        id: UInt64, queue: String = "", metadata: [String: String] = [:], labels: [String: String] = [:],
        tenant: String = "", priority: Int = 0, model: String? = nil, deadline: Instant = .distantFuture
    ) {
        self.id = id
        self.queue = queue
        self.metadata = metadata
        self.labels = labels
        self.tenant = tenant
        self.priority = priority
        self.model = model
        self.deadline = deadline
    }
}
