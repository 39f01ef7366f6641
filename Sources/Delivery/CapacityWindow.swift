public import Basics

/// How many requests a target takes at a time, learned from its refusals: what waits for room waits for an answer to come
/// back, not for a timer.
///
/// Unlimited until the target turns a request away for lack of room. Then additive increase, multiplicative decrease:
/// halved once for each flight of requests that meets a refusal, and one more for each window of answers. After some time
/// without a refusal one more for each answer, and after a minute the window is forgotten: servers recover. The scheduler in
/// front of our own pool makes messages wait instead of refusing them, so there the window hardly ever closes. Times are
/// steady.
public struct CapacityWindow: Sendable {
    /// A window that has grown to this is no limit any more.
    private static let unlimited = 4096.0
    /// After so long without a refusal the window doubles with each flight.
    private static let fastGrowthAfter = TimeSpan.seconds(10)
    /// After so long without a refusal there is no window any more.
    private static let forgottenAfter = TimeSpan.seconds(60)

    private var limit = Double.infinity
    /// Refusals of requests that were sent before this have been answered for.
    private var decreasedAt = Instant.zero
    private var refusedAt = Instant.zero
    private var blockedUntil = Instant.zero

    /// Creates an open window.
    public init() {}

    /// Requests that may be out at a time; nil for no limit.
    public var size: Int? { limit.isFinite ? Int(limit) : nil }

    /// Whether another request may go out when `outstanding` are out.
    public func admits(outstanding: Int, now: Instant) -> Bool {
        now >= blockedUntil && Double(outstanding + 1) <= max(1, limit)
    }

    /// When requests may go out again, if the target named a time or nothing else can tell.
    public func opensAt(now: Instant) -> Instant? { blockedUntil > now ? blockedUntil : nil }

    /// An answer came back.
    public mutating func answered(now: Instant) {
        guard limit.isFinite else { return }
        let quiet = now - refusedAt
        limit += quiet >= Self.fastGrowthAfter ? 1 : 1 / limit
        if limit >= Self.unlimited || quiet >= Self.forgottenAfter { limit = .infinity }
    }

    /// The target had no room for a request.
    ///
    /// - Parameters:
    ///   - sentAt: when the request went out.
    ///   - outstanding: requests that are still out.
    ///   - pause: how long to stay away: what the target asked for, or what the caller chose where nothing that is out
    ///     could bring news.
    public mutating func refused(sentAt: Instant, outstanding: Int, pause: TimeSpan?, now: Instant) {
        refusedAt = now
        if sentAt >= decreasedAt {
            limit = max(1, min(limit, Double(outstanding + 1)) / 2)
            decreasedAt = now
        }
        if let pause { blockedUntil = max(blockedUntil, now + pause) }
    }
}
