import Basics
import Pool
import Routing

/// Picks the replica of one request from what a router knows at that moment.
protocol ReplicaPicker {
    /// The index of a replica in `table`, which has at least one.
    mutating func pick(_ request: RoutingRequest, from table: CandidateTable, now: Instant) -> Int
}

/// One after the other.
struct RoundRobinPicker: ReplicaPicker {
    private var next = 0

    mutating func pick(_ request: RoutingRequest, from table: CandidateTable, now: Instant) -> Int {
        defer { next = (next + 1) % table.count }
        return next
    }
}

/// The fewest requests in flight; ties by chance, as the name of a replica says nothing about it.
struct LeastRequestsPicker: ReplicaPicker {
    var generator: SeededGenerator

    mutating func pick(_ request: RoutingRequest, from table: CandidateTable, now: Instant) -> Int {
        let fewest = table.inFlightRequests.min() ?? 0
        let tied = table.inFlightRequests.indices.filter { table.inFlightRequests[$0] == fewest }
        return tied.randomElement(using: &generator) ?? 0
    }
}

/// Any.
struct RandomPicker: ReplicaPicker {
    var generator: SeededGenerator

    mutating func pick(_ request: RoutingRequest, from table: CandidateTable, now: Instant) -> Int {
        Int.random(in: 0..<table.count, using: &generator)
    }
}

/// A configuration of llm-d's endpoint picker, by the same code that runs such configurations in the gateway.
struct WeightedPicking: ReplicaPicker {
    private var pipeline: WeightedPipeline

    init(_ policy: WeightedPolicy, identities: [CandidateTable.Identity], seed: UInt64) {
        pipeline = WeightedPipeline(policy, identities: identities, seed: seed)
    }

    mutating func pick(_ request: RoutingRequest, from table: CandidateTable, now: Instant) -> Int {
        let decision = pipeline.pick(for: request, among: table, now: now)
        let endpoint = decision.endpoint ?? EndpointID(0)
        pipeline.picked(decision, for: request, endpoint: endpoint, now: now)
        return endpoint.index
    }
}
