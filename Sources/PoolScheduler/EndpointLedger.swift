import Basics
import DequeModule
import Harvest
import Pool
import Prediction

/// What the scheduler keeps per endpoint beside its load: who runs there, in the order in which they started, and what
/// has been learned of its speed.
struct EndpointLedger {
    var harvest: HarvestController
    /// What the endpoint came with: the belief before any evidence.
    let configuredStepTime: StepTimeModel
    var learner: StepTimeLearner
    var history: LoadHistory
    /// Real-time requests in start order; those that have answered or ended are dropped when they reach the front.
    private var silent: Deque<(id: UInt64, started: Instant)> = []
    /// Requests whose answers come in one piece, in start order, and when their prompts should have been computed.
    private var unseen: Deque<(id: UInt64, started: Instant, assumed: Instant)> = []
    /// Sheddable requests in start order.
    private(set) var sheddable: [UInt64] = []
    /// Limits on the time per output token of the requests that run here and name one, in milliseconds.
    private var tpotLimits: [Float] = []
    /// The tightest of them; infinite without one.
    private(set) var tightestTPOTLimit = Float.infinity

    init(harvest: HarvestController, configuredStepTime: StepTimeModel, now: Instant) {
        self.harvest = harvest
        self.configuredStepTime = configuredStepTime
        learner = StepTimeLearner(prior: configuredStepTime)
        history = LoadHistory(now: now)
    }

    /// Notes a start; `assumedFirstToken` is nil for answers that are streamed.
    mutating func started(_ id: UInt64, _ workClass: WorkClass, assumedFirstToken: Instant?, now: Instant) {
        if let assumedFirstToken {
            unseen.append((id, now, assumedFirstToken))
        } else if workClass == .realtime {
            silent.append((id, now))
        }
        if workClass == .sheddable { sheddable.append(id) }
    }

    /// Takes out the requests whose first token is to be assumed by now.
    ///
    /// Engines compute prompts in order of arrival: while an earlier request that streams is silent, so are they.
    mutating func removeAssumed(now: Instant, isSilent: (UInt64) -> Bool) -> [UInt64] {
        var assumed: [UInt64] = []
        let silentSince = now - oldestSilence(now: now, isSilent: isSilent)
        while let first = unseen.first, first.assumed <= now, first.started <= silentSince {
            assumed.append(first.id)
            unseen.removeFirst()
        }
        return assumed
    }

    /// Takes out the requests that started before one that has just produced its first token.
    mutating func removeOvertaken(startedBy limit: Instant) -> [UInt64] {
        var overtaken: [UInt64] = []
        while let first = unseen.first, first.started < limit {
            overtaken.append(first.id)
            unseen.removeFirst()
        }
        return overtaken
    }

    mutating func addTPOTLimit(_ milliseconds: Double?) {
        guard let milliseconds else { return }
        tpotLimits.append(Float(milliseconds))
        tightestTPOTLimit = min(tightestTPOTLimit, Float(milliseconds))
    }

    mutating func removeTPOTLimit(_ milliseconds: Double?) {
        guard let milliseconds, let index = tpotLimits.firstIndex(of: Float(milliseconds)) else { return }
        tpotLimits.swapAt(index, tpotLimits.count - 1)
        tpotLimits.removeLast()
        tightestTPOTLimit = tpotLimits.min() ?? .infinity
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
