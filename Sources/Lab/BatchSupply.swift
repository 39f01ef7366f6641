import Basics
import DequeModule

/// Where batch requests come from: a standing supply, or messages pushed at a rate. Called-back ones go to the front.
struct BatchSupply {
    enum Kind: Hashable {
        case none
        /// There is always another line.
        case endless
        case push(messages: Int, perSecond: Double)
    }

    let kind: Kind
    private let job: OfflineJob?
    private var nextLine = 0
    private var backlog: Deque<Int> = []
    /// Set when an endless supply ends.
    private(set) var isClosed = false

    init(kind: Kind, job: OfflineJob) {
        self.kind = kind
        self.job = kind == .none ? nil : job
    }

    /// When the next message is pushed; nil if none will be.
    var nextPush: Instant? {
        guard case .push(let messages, let perSecond) = kind, nextLine < messages else { return nil }
        return Instant(seconds: Double(nextLine) / perSecond)
    }

    /// Whether a request could be taken now.
    var isEmpty: Bool { backlog.isEmpty && (kind != .endless || isClosed) }

    /// Requests that wait in the queue.
    var waiting: Int { backlog.count }

    /// The length of the next new line, counting it as used.
    mutating func nextLength() -> OfflineLength {
        guard let job else { preconditionFailure("lines are asked for only where there is a job") }
        defer { nextLine += 1 }
        return job.lengths[nextLine % job.lengths.count]
    }

    /// Puts a message at the end of the queue.
    mutating func append(_ id: Int) { backlog.append(id) }

    /// Puts a request that was called back at the head of the queue.
    mutating func putBack(_ id: Int) { backlog.prepend(id) }

    /// Takes the request at the head of the queue.
    mutating func takeQueued() -> Int? { backlog.popFirst() }

    /// Ends an endless supply.
    mutating func close() { isClosed = true }
}
