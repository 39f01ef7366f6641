import Basics

/// What tenants were served in a window of time, of those tenants that had a request waiting at every moment of it.
///
/// That is what fair queueing is about: over an interval in which two are backlogged throughout, they are served alike
/// (Sheng et al., "Fairness in serving large language models", 2024). What runs already is not waiting: where answers take
/// long, a tenant that gets all it asks for as soon as it asks has much in flight at any moment.
struct BackloggedService {
    /// A request as far as its service is concerned.
    struct Request {
        var flow: String
        var arrival: Instant
        /// When its service began, or when it was turned away; nil if neither ever was.
        var waitEnded: Instant?
        /// When its first token and its last one were out; nil if it was never served.
        var answered: (first: Instant, last: Instant)?
        /// What its prompt and its answer cost; each is spread evenly over the time that it took.
        var promptCost: Double
        var answerCost: Double
    }

    let from: Instant
    let to: Instant

    /// The cost served in the window for each backlogged tenant, in the order of their names.
    func costs(of requests: [Request]) -> [Double] {
        var members: [String: [Int]] = [:]
        for (index, request) in requests.enumerated() { members[request.flow, default: []].append(index) }
        return members.sorted { $0.key < $1.key }.compactMap { _, indices in
            let own = indices.map { requests[$0] }
            return isBacklogged(own) ? own.reduce(0) { $0 + cost(of: $1) } : nil
        }
    }

    /// Whether one of `requests`, at least, waits at every moment of the window.
    private func isBacklogged(_ requests: [Request]) -> Bool {
        var covered = from
        for request in requests.sorted(by: { $0.arrival < $1.arrival }) where covered < to {
            guard request.arrival <= covered else { return false }
            covered = max(covered, request.waitEnded ?? .distantFuture)
        }
        return covered >= to
    }

    /// What of a request was served in the window.
    private func cost(of request: Request) -> Double {
        guard let begun = request.waitEnded, let answered = request.answered else { return 0 }
        return request.promptCost * part(begun, answered.first) + request.answerCost
            * part(answered.first, answered.last)
    }

    /// The part of a stretch of time that lies in the window, 0 to 1.
    private func part(_ begin: Instant, _ end: Instant) -> Double {
        guard end > begin else { return begin >= from && begin < to ? 1 : 0 }
        return max(0, (min(end, to) - max(begin, from)).seconds) / (end - begin).seconds
    }
}
