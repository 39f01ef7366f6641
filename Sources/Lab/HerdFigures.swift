import Basics

/// How evenly a burst of requests that came at one instant was spread over the replicas.
public struct HerdFigures: Hashable, Sendable {
    /// The burst of one kind.
    public struct Burst: Hashable, Sendable {
        /// Requests of the busiest replica over the mean of all.
        public let requestSpread: Double
        /// Uncached prompt tokens of the busiest replica over the mean of all.
        public let tokenSpread: Double
        /// The time until the last of the burst had its first token, in milliseconds.
        public let lastFirstTokenMilliseconds: Double
    }

    /// All requests are of one length.
    public let equal: Burst
    /// Lengths are those of conversations.
    public let mixed: Burst
}

extension HerdFigures.Burst {
    /// - Parameter burst: the ids of the burst's requests.
    init(_ fleet: Fleet, burst: Range<Int>) {
        var requests = Array(repeating: 0.0, count: fleet.engines.count)
        var tokens = requests
        var last = 0.0
        for request in fleet.requests[burst] where request.replica >= 0 {
            requests[Int(request.replica)] += 1
            tokens[Int(request.replica)] += Double(request.promptTokens - request.cachedTokens)
            if request.state == .finished { last = max(last, request.ttftMilliseconds) }
        }
        self.init(
            requestSpread: spread(requests), tokenSpread: spread(tokens), lastFirstTokenMilliseconds: last)
    }
}
