public import Basics

/// One unit of a shared quota, to be asked for at Redis in one atomic step (shared reference `async-processor.md` 4.2).
///
/// Each acquisition has an owner of its own. So it can be given back alone, once, and one that a dead process left behind
/// expires alone: giving back one that was never granted must change nothing.
public struct QuotaRequest: Hashable, Sendable {
    /// What is counted.
    public enum Mode: String, Hashable, Sendable, CaseIterable {
        /// Requests in flight: granted while fewer than `limit` are held.
        case concurrency
        /// Requests per `window`: granted while fewer than `limit` were granted in the last window.
        case rateLimit = "rate-limit"
    }

    /// The Redis server, as configured.
    public var address: String
    /// The key: prefix + attribute + ":" + value.
    public var key: String
    /// What is counted.
    public var mode: Mode
    /// How many at most.
    public var limit: Int
    /// The window of a rate limit; of a concurrency limit how long a slot is believed in without news of its holder.
    public var window: TimeSpan
    /// Who acquires: unique per acquisition.
    public var owner: String

    /// Creates a request.
    public init(address: String, key: String, mode: Mode, limit: Int, window: TimeSpan, owner: String) {
        self.address = address
        self.key = key
        self.mode = mode
        self.limit = limit
        self.window = window
        self.owner = owner
    }
}
