import Basics
import DequeModule
import Harvest
import Pool

/// What the scheduler keeps per endpoint beside its load: who runs there, in the order in which they started.
struct EndpointLedger {
    var harvest: HarvestController
    /// Real-time requests in start order; those that have answered or ended are dropped when they reach the front.
    private var silent: Deque<(id: UInt64, started: Instant)> = []
    /// Sheddable requests in start order.
    private(set) var sheddable: [UInt64] = []

    init(harvest: HarvestController) { self.harvest = harvest }

    mutating func started(_ id: UInt64, _ workClass: WorkClass, now: Instant) {
        switch workClass {
        case .realtime: silent.append((id, now))
        case .sheddable: sheddable.append(id)
        }
    }

    mutating func endedSheddable(_ id: UInt64) {
        if let index = sheddable.lastIndex(of: id) { sheddable.remove(at: index) }
    }

    /// How long the oldest real-time request without a first token has been here.
    mutating func oldestSilence(now: Instant, isSilent: (UInt64) -> Bool) -> TimeSpan {
        while let first = silent.first {
            if isSilent(first.id) { return now - first.started }
            silent.removeFirst()
        }
        return .zero
    }
}
