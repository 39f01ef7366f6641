import Basics
import Synchronization

/// How one real-time request went, as its client saw it.
struct RealtimeSample: Sendable {
    /// When it was sent, in seconds since the start of its act.
    var sentSeconds: Double
    /// Time to the first token; nil if none came.
    var firstTokenMilliseconds: Double?
    /// Mean time per further token; nil for answers of one token.
    var perTokenMilliseconds: Double?
    /// Whether the whole answer came.
    var isComplete: Bool

    /// Whether its user was well served: first token within 1 s, on average at most 50 ms per further token.
    var isGood: Bool {
        guard isComplete, let firstTokenMilliseconds else { return false }
        return firstTokenMilliseconds <= 1000 && (perTokenMilliseconds ?? 0) <= 50
    }
}

/// What the pool looked like at one moment.
struct PoolSample: Sendable {
    /// Seconds since the start of the act.
    var seconds: Double
    /// Real-time requests in flight.
    var realtime: Int
    /// Batch requests in flight.
    var batch: Int
    /// Messages that are not finished.
    var backlog: Int
    /// Real-time requests in flight and batch requests in flight, for each server.
    var servers: [(name: String, realtime: Int, batch: Int)]
}

/// Everything that was observed in one act.
struct ActRecord: Sendable {
    var realtime: [RealtimeSample] = []
    var pool: [PoolSample] = []
    var submitted = 0
    var served = 0
    var dropped = 0
    /// From the start of the act until the last message was served or dropped.
    var batchSeconds = 0.0

    /// Share of real-time requests whose users were well served.
    var goodShare: Double {
        realtime.isEmpty ? 1 : Double(realtime.count { $0.isGood }) / Double(realtime.count)
    }

    /// The 99th percentile of the time to first token, in milliseconds; nil without samples.
    var firstTokenP99: Double? { Percentiles(realtime.compactMap(\.firstTokenMilliseconds)).value(at: 0.99) }

    /// The 99th percentile of the time per further token, in milliseconds; nil without samples.
    var perTokenP99: Double? { Percentiles(realtime.compactMap(\.perTokenMilliseconds)).value(at: 0.99) }
}

/// Where clients, pushers and the watcher write down what they see.
final class Ledger: Sendable {
    private let records = Mutex([Act: ActRecord]())

    func record(_ act: Act) -> ActRecord { records.withLock { $0[act] ?? ActRecord() } }

    func update(_ act: Act, _ change: (inout ActRecord) -> Void) {
        records.withLock { change(&$0[act, default: ActRecord()]) }
    }
}
