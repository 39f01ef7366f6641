public import Basics

/// Requests that an endpoint serves for others, estimated from scraped metrics.
///
/// A scrape and our own counters never show the same moment, so a single difference is mostly noise: the estimate is the
/// smallest difference of the last three scrapes, and lapses when scrapes stop coming.
public struct ForeignLoad: Sendable {
    private static let windowLength = 3
    /// Reports beyond this are not believed; it keeps sums and products far from overflow.
    private static let limit = 100_000
    private static let lifetime = TimeSpan.seconds(10)
    private var differences: [Int] = []
    private var updated = Instant.zero

    /// No foreign load.
    public init() {}

    /// Notes one scrape.
    ///
    /// - Parameters:
    ///   - scrapedRequests: running plus waiting requests that the endpoint reported.
    ///   - ownRequests: our own requests in flight there when the report arrived.
    public mutating func observe(scrapedRequests: Int, ownRequests: Int, now: Instant) {
        differences.append(min(max(0, scrapedRequests - ownRequests), Self.limit))
        if differences.count > Self.windowLength { differences.removeFirst() }
        updated = now
    }

    /// The estimate at `now`, in requests.
    public func requests(now: Instant) -> Int {
        guard differences.count == Self.windowLength, now - updated <= Self.lifetime else { return 0 }
        return differences.min() ?? 0
    }
}
