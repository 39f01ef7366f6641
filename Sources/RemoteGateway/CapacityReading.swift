/// How many requests a Weir gateway would have from this processor in one pool.
public struct PoolCredit: Hashable, Sendable {
    /// The pool's name.
    public var pool: String
    /// The models that it serves; empty if its endpoints have not told them yet.
    public var models: [String]
    /// Requests that may be at the gateway at a time, those that wait there included.
    public var credit: Int
    /// Of this processor's requests, those that waited there when the credit was worked out.
    public var waiting: Int
    /// Of this processor's requests, those that ran.
    public var running: Int

    /// Creates a credit.
    public init(pool: String, models: [String], credit: Int, waiting: Int = 0, running: Int = 0) {
        self.pool = pool
        self.models = models
        self.credit = credit
        self.waiting = waiting
        self.running = running
    }
}

/// What a capacity feed says at present.
public enum CapacityReading: Hashable, Sendable {
    /// Nothing: the feed is not connected, or silent. The sentence says why.
    case unknown(reason: String)
    /// So much, by pool, in the gateway's order.
    case known([PoolCredit])

    /// Requests that may be at the gateway at a time, over all pools; nil if nothing is known.
    public var total: Int? {
        switch self {
        case .unknown: nil
        case .known(let credits): credits.reduce(0) { $0 + $1.credit }
        }
    }

    /// The credit of the pool that serves a model; nil if nothing is known, or no pool is known to serve it.
    public func credit(forModel model: String) -> Int? {
        guard case .known(let credits) = self else { return nil }
        return credits.first { $0.models.contains(model) }?.credit
    }
}
