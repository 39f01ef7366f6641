public import Basics

/// How fast work at or above a priority is dispatched while some of it waits.
public struct DrainEstimate: Hashable, Sendable {
    /// Uncached input and output tokens per second, as estimated when dispatched.
    public var tokensPerSecond: Double
    /// Requests per second.
    public var requestsPerSecond: Double
    /// How many dispatches it rests on.
    public var observedRequests: Int
    /// During how much time with work waiting they were observed.
    public var observedTime: TimeSpan

    /// Creates an estimate.
    public init(
        tokensPerSecond: Double, requestsPerSecond: Double, observedRequests: Int, observedTime: TimeSpan
    ) {
        self.tokensPerSecond = tokensPerSecond
        self.requestsPerSecond = requestsPerSecond
        self.observedRequests = observedRequests
        self.observedTime = observedTime
    }
}

/// Measures how fast the waiting room drains, per band.
///
/// Only time in which work waits is measured: what leaves an empty room says how much came, not how much could leave.
/// Of that time the last 10 s or so count; the estimate keeps while nobody waits.
public struct DrainRate: Sendable {
    /// The longest time after which anybody is told to try again.
    public static let retryLimit = TimeSpan.seconds(30)
    /// Dispatches are summed over this time before they are weighed.
    private static let binLength = TimeSpan.milliseconds(100)
    private static let timeConstantSeconds = 10.0

    private struct Track {
        let priority: Int
        /// Dispatched from this band in the current bin.
        var binTokens = 0.0
        var binRequests = 0
        /// Sums at or above this priority while such work waited, older ones counting less.
        var tokens = 0.0
        var requests = 0.0
        var seconds = 0.0
        /// The same without forgetting: how much is known.
        var observedRequests = 0
        var observedSeconds = 0.0
    }

    private let maxBands: Int
    /// Highest priority first.
    private var tracks: [Track] = []
    private var binStart: Instant?
    private var highestAtStart: Int?

    /// Creates an estimate that knows nothing.
    public init(maxBands: Int = 64) { self.maxBands = max(1, maxBands) }

    /// A request that waited was dispatched.
    public mutating func dispatched(priority: Int, tokens: Int) {
        guard let index = track(of: priority) else { return }
        tracks[index].binTokens += Double(max(0, tokens))
        tracks[index].binRequests += 1
    }

    /// Says which is the highest band in which anybody waits at `now`; to be called every 100 ms or more often.
    public mutating func observe(highestWaiting: Int?, now: Instant) {
        guard let start = binStart else { return begin(highestWaiting, now) }
        let length = now - start
        guard length >= Self.binLength else { return }
        if let atStart = highestAtStart, let atEnd = highestWaiting {
            _ = track(of: min(atStart, atEnd))
            close(length.seconds, highest: min(atStart, atEnd))
        }
        for index in tracks.indices {
            tracks[index].binTokens = 0
            tracks[index].binRequests = 0
        }
        begin(highestWaiting, now)
    }

    /// How fast work at or above `priority` is dispatched; nil as long as no such work was seen to wait.
    public func estimate(atOrAbove priority: Int) -> DrainEstimate? {
        guard let track = tracks.last(where: { $0.priority >= priority }), track.seconds > 0 else { return nil }
        return DrainEstimate(
            tokensPerSecond: track.tokens / track.seconds, requestsPerSecond: track.requests / track.seconds,
            observedRequests: track.observedRequests, observedTime: .seconds(track.observedSeconds))
    }

    /// When so many requests should have left: between 1 s and `retryLimit`; 1 s if nothing is known.
    public func retryAfter(waitingRequests: Int, atOrAbove priority: Int) -> TimeSpan {
        guard let estimate = estimate(atOrAbove: priority) else { return .seconds(1) }
        guard estimate.requestsPerSecond > 0 else { return Self.retryLimit }
        return min(max(.seconds(Double(waitingRequests) / estimate.requestsPerSecond), .seconds(1)), Self.retryLimit)
    }

    private mutating func begin(_ highestWaiting: Int?, _ now: Instant) {
        binStart = now
        highestAtStart = highestWaiting
    }

    /// Weighs a bin for every band at or below `highest`: work at or above those waited all along.
    private mutating func close(_ seconds: Double, highest: Int) {
        let kept = exponential(-seconds / Self.timeConstantSeconds)
        var tokens = 0.0
        var requests = 0
        for index in tracks.indices {
            tokens += tracks[index].binTokens
            requests += tracks[index].binRequests
            guard tracks[index].priority <= highest else { continue }
            tracks[index].tokens = tracks[index].tokens * kept + tokens
            tracks[index].requests = tracks[index].requests * kept + Double(requests)
            tracks[index].seconds = tracks[index].seconds * kept + seconds
            tracks[index].observedRequests += requests
            tracks[index].observedSeconds += seconds
        }
    }

    /// The index of the track of `priority`. Beyond the bound on tracks, the next lower one, or none.
    private mutating func track(of priority: Int) -> Int? {
        let index = tracks.firstIndex { $0.priority <= priority } ?? tracks.count
        if index < tracks.count, tracks[index].priority == priority { return index }
        guard tracks.count < maxBands else { return index < tracks.count ? index : nil }
        tracks.insert(Track(priority: priority), at: index)
        return index
    }
}
