public import Basics

/// In which order the waiting requests of several queues share the workers of one pool.
public enum MergePolicy: String, Hashable, Sendable, CaseIterable {
    /// The highest priority class first, then the earliest deadline, over all queues.
    case deadline
    /// A queue drawn at random each time; within it by priority class and deadline.
    case randomRobin = "random-robin"
    /// Strict lanes by classification and tier (`PriorityLane`); within a lane the earliest deadline first.
    case tierPriority = "tier-priority"
}

/// What a gateway has room for in one of its own pools.
public struct CapacityCredit: Hashable, Sendable {
    /// The models that the pool serves.
    public var models: Set<String>
    /// Requests that may be there at a time.
    public var requests: Int

    /// Creates a credit.
    public init(models: Set<String>, requests: Int) {
        self.models = models
        self.requests = requests
    }
}

/// How often a gate has decided against requests (`async_gate_decisions_total` of shared reference `async-processor.md` 5.4).
public struct GateDecisions: Hashable, Sendable {
    /// Times that it closed while requests waited.
    public var closed = 0
    /// Quotas that were asked for and had nothing left.
    public var exhaustedQuotas = 0
    /// Requests turned away for good.
    public var dropped = 0
    /// Quotas that could not be asked for.
    public var errors = 0

    /// Nothing has been decided.
    public init() {}
}

/// What a worker pool is.
public struct WorkerPoolConfiguration: Hashable, Sendable {
    /// The pool's name.
    public var name: String
    /// Requests under way at a time.
    public var workers: Int
    /// Whether the number of workers follows what the gateway has room for, where it says so.
    public var isElastic = false
    /// How its queues share it.
    public var merge = MergePolicy.deadline
    /// The label that names the tier of a request.
    public var tierLabel = "tier"
    /// A request that has waited longer than this is old: every second start goes to the oldest of those. Nil lets the
    /// policy alone decide, however long that takes.
    public var ageing: TimeSpan?
    /// Requests of one queue that gates have turned away may wait here; beyond it they go back to their queue for a while,
    /// so that they do not stand in the way of others.
    public var refusedLimit = 64
    /// For how long they go back.
    public var refusalPause = TimeSpan.seconds(1)

    /// Creates a pool that goes by deadlines.
    public init(name: String, workers: Int) {
        self.name = name
        self.workers = workers
    }
}
