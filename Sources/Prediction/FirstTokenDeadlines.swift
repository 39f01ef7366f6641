import Basics

/// The requests at one endpoint whose first token is awaited, each with the moment at which its predicted 0.9 quantile
/// has passed: from then on it is certain that the quantile did not hold, however long the first token still takes.
struct FirstTokenDeadlines: Sendable {
    private struct Awaited: Sendable {
        var id: UInt64
        var passesAt: Instant
        var depth: Int
    }

    /// Requests that are watched; what comes on top is judged by its outcome.
    private static let most = 4096

    private var awaited: [Awaited] = []
    private var passed: [UInt64] = []
    /// No deadline passes before this.
    private var earliest = Instant.distantFuture

    /// A request was sent whose 0.9 quantile is so far ahead, from a queue of this depth.
    mutating func sent(_ id: UInt64, passesAt: Instant, depth: Int) {
        guard awaited.count + passed.count < Self.most else { return }
        awaited.append(Awaited(id: id, passesAt: passesAt, depth: depth))
        earliest = min(earliest, passesAt)
    }

    /// Whether anything has passed by now that has not been told.
    func hasPassed(now: Instant) -> Bool { now > earliest }

    /// How many deadlines have passed by now and were not told before, by depth.
    mutating func takePassed(now: Instant) -> InlineArray<6, Int> {
        var counts = InlineArray<6, Int>(repeating: 0)
        guard hasPassed(now: now) else { return counts }
        earliest = .distantFuture
        var waiting: [Awaited] = []
        for request in awaited {
            if now > request.passesAt {
                passed.append(request.id)
                counts[request.depth] += 1
            } else {
                waiting.append(request)
                earliest = min(earliest, request.passesAt)
            }
        }
        awaited = waiting
        return counts
    }

    /// A request is not awaited any more; true if its deadline had passed and was told.
    mutating func remove(_ id: UInt64) -> Bool {
        if let index = passed.firstIndex(of: id) {
            passed.remove(at: index)
            return true
        }
        if let index = awaited.firstIndex(where: { $0.id == id }) { awaited.remove(at: index) }
        return false
    }
}
