public import Basics

/// Where the last request of each session went, and how long its prompt was.
///
/// A session's next prompt normally contains the one before. Where the text is not at hand to tell, the endpoint of the
/// last turn is taken to have that much of it cached.
public struct SessionMemory: Sendable {
    /// One session's last turn.
    public struct Turn: Hashable, Sendable {
        /// The endpoint's place in the pool.
        public var endpoint: Int
        /// Tokens that the endpoint holds of the session.
        public var tokens: Int
        /// When it was.
        public var at: Instant
    }

    private let limit: Int
    private let timeToLive: TimeSpan
    private var turns: [String: Turn] = [:]

    /// Creates an empty memory of at most `limit` sessions, each forgotten when it has been idle for `timeToLive`.
    public init(limit: Int = 50_000, timeToLive: TimeSpan = .seconds(600)) {
        self.limit = max(1, limit)
        self.timeToLive = timeToLive
    }

    /// The last turn of a session, if it is recent.
    public func turn(of session: String, now: Instant) -> Turn? {
        guard let turn = turns[session], now - turn.at <= timeToLive else { return nil }
        return turn
    }

    /// Notes a turn.
    public mutating func note(_ session: String, endpoint: Int, tokens: Int, now: Instant) {
        if turns[session] == nil, turns.count >= limit { forget(now: now) }
        turns[session] = Turn(endpoint: endpoint, tokens: tokens, at: now)
    }

    /// Forgets what is too old; if nothing is, the older half.
    private mutating func forget(now: Instant) {
        turns = turns.filter { now - $0.value.at <= timeToLive }
        guard turns.count >= limit else { return }
        let middle = turns.values.map(\.at).sorted()[turns.count / 2]
        turns = turns.filter { $0.value.at > middle }
        // All of one moment: none of them is older than another.
        if turns.count >= limit { turns.removeAll() }
    }
}
