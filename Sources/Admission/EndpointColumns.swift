public import Basics

/// What saturation is judged by, one dense column per fact and one row per endpoint that is up.
///
/// Columns that a detector does not read may be empty; what a column lacks counts as unknown.
public struct EndpointColumns: Hashable, Sendable {
    /// Requests in the engine's own queue, as scraped.
    public var waitingRequests: [Int]
    /// The part of the KV cache in use, 0 to 1, as scraped.
    public var kvCacheUsage: [Double]
    /// The age of the scraped values; nil: none yet.
    public var scrapeAge: [TimeSpan?]
    /// Requests that this gateway has in flight.
    public var requestsInFlight: [Int]
    /// Tokens of the requests that this gateway has in flight.
    public var tokensInFlight: [Int]
    /// The predicted time to first token of the request in question.
    public var predictedTTFTMilliseconds: [Double]
    /// The same if nothing else were there.
    public var unloadedTTFTMilliseconds: [Double]

    /// Creates columns.
    public init(
        waitingRequests: [Int] = [], kvCacheUsage: [Double] = [], scrapeAge: [TimeSpan?] = [],
        requestsInFlight: [Int] = [], tokensInFlight: [Int] = [], predictedTTFTMilliseconds: [Double] = [],
        unloadedTTFTMilliseconds: [Double] = []
    ) {
        self.waitingRequests = waitingRequests
        self.kvCacheUsage = kvCacheUsage
        self.scrapeAge = scrapeAge
        self.requestsInFlight = requestsInFlight
        self.tokensInFlight = tokensInFlight
        self.predictedTTFTMilliseconds = predictedTTFTMilliseconds
        self.unloadedTTFTMilliseconds = unloadedTTFTMilliseconds
    }
}

/// What a detector makes of an endpoint whose scraped values are old or missing.
public enum StalePolicy: String, Hashable, Sendable, CaseIterable {
    /// It counts as saturated. One lost scrape can stop a pool.
    case saturated
    /// Its last values count as if they were fresh; without any it is left out.
    case lastKnown = "last-known"
    /// It is left out. If that leaves none, the pool counts as idle: requests rather queue in the engines than nowhere.
    case excluded
}
