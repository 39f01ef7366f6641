import Synchronization

/// A processor in another process that follows this gateway's capacity feed, and what it has in the gateway.
final class RemoteProcessor: Sendable {
    private struct State {
        var loads: [ProcessorLoad]
        var credits: [Int]
        var isFollowing = true
    }

    /// So many requests beyond its credit still wait as messages: credits that fall take a while to arrive. What comes on top
    /// waits under the limits of ordinary requests.
    private static let leniency = 256

    let name: String
    private let state: Mutex<State>

    init(name: String, pools: Int) {
        self.name = name
        state = Mutex(
            State(loads: Array(repeating: ProcessorLoad(), count: pools), credits: Array(repeating: 0, count: pools)))
    }

    /// What it has in each pool.
    var loads: [ProcessorLoad] { state.withLock { $0.loads } }

    /// Whether one more request of its own counts as a message.
    var mayHoldMore: Bool {
        state.withLock { state in
            guard state.isFollowing else { return false }
            let held = state.loads.reduce(0) { $0 + $1.held }
            return held < state.credits.reduce(0, +) + Self.leniency
        }
    }

    func credited(_ credits: [Int]) { state.withLock { $0.credits = credits } }

    func follows(_ isFollowing: Bool) { state.withLock { $0.isFollowing = isFollowing } }

    func waits(in pool: Int) { state.withLock { $0.loads[pool].waiting += 1 } }

    func started(in pool: Int) {
        state.withLock { state in
            state.loads[pool].waiting -= 1
            state.loads[pool].running += 1
        }
    }

    func ended(in pool: Int, wasStarted: Bool) {
        state.withLock { state in
            if wasStarted { state.loads[pool].running -= 1 } else { state.loads[pool].waiting -= 1 }
        }
    }
}

/// One request's place among those of its processor.
struct ProcessorPlace {
    private let processor: RemoteProcessor
    private let pool: Int
    private var isStarted = false

    init(_ processor: RemoteProcessor, pool: Int) {
        self.processor = processor
        self.pool = pool
        processor.waits(in: pool)
    }

    mutating func start() {
        guard !isStarted else { return }
        isStarted = true
        processor.started(in: pool)
    }

    func end() { processor.ended(in: pool, wasStarted: isStarted) }
}
