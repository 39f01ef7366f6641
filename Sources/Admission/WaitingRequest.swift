public import Basics

/// What admission needs to know of a request that waits.
public struct WaitingRequest: Hashable, Sendable {
    /// The caller's name for the request.
    public var id: UInt64
    /// The band: higher goes first, below zero is sheddable.
    public var priority: Int
    /// When waiting any longer is pointless; the request is then handed out as expired.
    public var expires: Instant
    /// Orders requests inside a band: earlier first, then by arrival. Equal for all means first come, first served.
    public var orderingDeadline: Instant
    /// Body bytes held while it waits.
    public var bytes: Int
    /// Whether the band's limits apply. Messages that a queue already holds durably are bounded by their processor.
    public var countsAgainstLimits: Bool

    /// Creates a description of a waiting request.
    public init(
        id: UInt64, priority: Int, expires: Instant, orderingDeadline: Instant = .zero, bytes: Int = 0,
        countsAgainstLimits: Bool = true
    ) {
        self.id = id
        self.priority = priority
        self.expires = expires
        self.orderingDeadline = orderingDeadline
        self.bytes = bytes
        self.countsAgainstLimits = countsAgainstLimits
    }
}
