import Basics
import DequeModule
import Harvest
import Pool

/// What the scheduler keeps per endpoint beside its load: who runs there, in the order in which they started.
struct EndpointLedger {
    var harvest: HarvestController
    /// The constants that the endpoint came with; `speed` says by how much it has proved to be faster.
    let configuredStepTime: StepTimeModel
    var speed = SpeedEvidence()
    /// Real-time requests in start order; those that have answered or ended are dropped when they reach the front.
    private var silent: Deque<(id: UInt64, started: Instant)> = []
    /// Requests whose answers come in one piece, in start order, and when their prompts should have been computed.
    private var unseen: Deque<(id: UInt64, assumed: Instant)> = []
    /// Sheddable requests in start order.
    private(set) var sheddable: [UInt64] = []
    /// Limits on the time per output token of the requests that run here and name one, in milliseconds.
    private var tpotLimits: [Float] = []

    init(harvest: HarvestController, configuredStepTime: StepTimeModel) {
        self.harvest = harvest
        self.configuredStepTime = configuredStepTime
    }

    /// Notes a start; `assumedFirstToken` is nil for answers that are streamed.
    mutating func started(_ id: UInt64, _ workClass: WorkClass, assumedFirstToken: Instant?, now: Instant) {
        if let assumedFirstToken {
            unseen.append((id, assumedFirstToken))
        } else if workClass == .realtime {
            silent.append((id, now))
        }
        if workClass == .sheddable { sheddable.append(id) }
    }

    /// Takes out the requests whose first token is to be assumed by now.
    mutating func removeAssumed(now: Instant) -> [UInt64] {
        var assumed: [UInt64] = []
        while let first = unseen.first, first.assumed <= now {
            assumed.append(first.id)
            unseen.removeFirst()
        }
        return assumed
    }

    /// The tightest limit on the time per output token among those who run here; infinite without one.
    var tightestTPOTLimit: Float { tpotLimits.min() ?? .infinity }

    mutating func addTPOTLimit(_ milliseconds: Double?) {
        if let milliseconds { tpotLimits.append(Float(milliseconds)) }
    }

    mutating func removeTPOTLimit(_ milliseconds: Double?) {
        guard let milliseconds, let index = tpotLimits.firstIndex(of: Float(milliseconds)) else { return }
        tpotLimits.swapAt(index, tpotLimits.count - 1)
        tpotLimits.removeLast()
    }

    mutating func endedSheddable(_ id: UInt64) {
        if let index = sheddable.lastIndex(of: id) { sheddable.remove(at: index) }
    }

    /// How long the oldest real-time request that streams and is without a first token has been here.
    mutating func oldestSilence(now: Instant, isSilent: (UInt64) -> Bool) -> TimeSpan {
        while let first = silent.first {
            if isSilent(first.id) { return now - first.started }
            silent.removeFirst()
        }
        return .zero
    }
}
