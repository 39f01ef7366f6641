import Basics
import EngineModel

/// The dispatch budget of llm-d's async processor: at every poll, `max_SYS * (D - B)` messages, where `D` is one less the
/// pool's fullness by a cached metric (`async-processor.md` 4.3 and 4.4; our model of it, as in `workloads.md` C.4).
///
/// Fullness is running requests over `replicas * maxConcurrency`. The released code multiplies by the fetch size instead
/// of `max_SYS`, which makes the gate inert; this is the documented formula with the staleness of the code.
struct BudgetGateDispatcher: Dispatcher {
    private static let poll = TimeSpan.seconds(1)
    private static let cacheLifetime = TimeSpan.seconds(5)
    private static let baseline = 0.05
    private static let workers = 64
    let maxConcurrency: Int
    private(set) var nextWake: Instant? = .zero
    private var fullness = 0.0
    private var cachedUntil = Instant.zero

    init(maxConcurrency: Int) { self.maxConcurrency = maxConcurrency }

    mutating func wake(now: Instant, fleet: inout Fleet) {
        let system = Double(fleet.engines.count * maxConcurrency)
        if now >= cachedUntil {
            fullness = Double(fleet.engines.reduce(0) { $0 + $1.load.running }) / system
            cachedUntil = now + Self.cacheLifetime
        }
        var budget = max(0, Int(system * (1 - fullness - Self.baseline)))
        while budget > 0, fleet.batchInFlight < Self.workers * fleet.engines.count, let id = fleet.takeBatch(now: now) {
            fleet.send(id, to: fleet.leastLoaded(byRealtime: false), now: now)
            budget -= 1
        }
        nextWake = now + Self.poll
    }
}
