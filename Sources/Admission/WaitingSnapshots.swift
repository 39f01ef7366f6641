public import Basics

/// What waits in one band.
public struct BandSnapshot: Hashable, Sendable {
    /// Its priority.
    public var priority: Int
    /// Requests that wait.
    public var requests: Int
    /// Body bytes that they hold.
    public var bytes: Int
    /// Uncached input and output tokens that they are expected to take.
    public var tokens: Int
    /// Flows that have requests waiting.
    public var flows: Int
    /// How long the oldest has waited.
    public var oldestWait: TimeSpan
    /// How evenly the flows that have been waiting for a while are served, by their weights; see `jainIndex`.
    public var jainIndex: Double?

    /// Creates a snapshot.
    public init(
        priority: Int, requests: Int, bytes: Int, tokens: Int, flows: Int, oldestWait: TimeSpan, jainIndex: Double?
    ) {
        self.priority = priority
        self.requests = requests
        self.bytes = bytes
        self.tokens = tokens
        self.flows = flows
        self.oldestWait = oldestWait
        self.jainIndex = jainIndex
    }
}

/// What one flow waits for and has got.
public struct FlowSnapshot: Hashable, Sendable {
    /// The fairness id.
    public var flow: String
    /// The band; a flow that uses several appears in each.
    public var priority: Int
    /// Whether it stands for all flows that are not told apart.
    public var isOverflow: Bool
    /// Requests that wait.
    public var requests: Int
    /// Tokens dispatched for it since it was last forgotten, output tokens weighted, corrected by what they really
    /// took.
    public var servedTokens: Double

    /// Creates a snapshot.
    public init(flow: String, priority: Int, isOverflow: Bool, requests: Int, servedTokens: Double) {
        self.flow = flow
        self.priority = priority
        self.isOverflow = isOverflow
        self.requests = requests
        self.servedTokens = servedTokens
    }
}
