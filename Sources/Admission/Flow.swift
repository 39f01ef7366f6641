import Basics

/// What a band keeps of one flow.
struct Flow {
    let name: String
    /// Its requests in order; empty under strict fairness, where the band orders all of them together.
    var queue = SlotHeap()
    var waiting = WaitingAmounts()
    /// What limits count of that, and its arrivals, oldest first.
    var counted = WaitingAmounts()
    var arrivals = LinkedOrder()
    /// Cost of everything dispatched for it, settled.
    var served = 0.0
    /// The same per second since it last began to wait, recent seconds counting most.
    var recent: RateEstimate
    /// Since when it has had work waiting, or since when it has had none.
    var since = Instant.zero

    /// The seconds that `recent` looks back.
    static let horizon = TimeSpan.seconds(30)

    init(name: String) {
        self.name = name
        recent = RateEstimate(timeConstant: Self.horizon)
    }

    mutating func note(cost: Double, now: Instant) {
        served = max(0, served + cost)
        recent.add(cost, now: now)
    }

    /// Cost served per second while it has been waiting without a break; nil if that is too short to tell.
    func servedPerSecond(now: Instant) -> Double? {
        let waited = now - since
        guard waiting.requests > 0, waited >= .seconds(5) else { return nil }
        return max(0, recent.perSecond(now: now)) / (1 - exponential(-waited.seconds / Self.horizon.seconds))
    }
}

/// How evenly shares are spread: `(Σx)² / (n Σx²)`, 1 for equal shares and 1/n when one has everything; nil for fewer
/// than two shares or when nobody has anything.
///
/// Source: Jain, Chiu and Hawe, "A quantitative measure of fairness", 1984.
public func jainIndex(of shares: [Double]) -> Double? {
    let squares = shares.reduce(0) { $0 + $1 * $1 }
    guard shares.count > 1, squares > 0 else { return nil }
    let sum = shares.reduce(0, +)
    return sum * sum / (Double(shares.count) * squares)
}
