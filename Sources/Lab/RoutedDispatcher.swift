import Basics
import EngineModel
import InferenceAPI
import Pool
import Routing

/// A router that sends each real-time request on at once, to the replica that a picker names.
///
/// What the picker reads is what such a router knows: the engines' queues and caches as scraped up to 50 ms ago, an
/// approximate index of cached prompts that the router fills from its own picks, and its own counts of requests in
/// flight and of uncached prompt tokens without a first token, which a pick changes before the next one reads them.
struct RoutedDispatcher: Dispatcher {
    private static let scrapeInterval = TimeSpan.milliseconds(50)

    private var picker: any ReplicaPicker
    private var table: CandidateTable
    private var index: ApproximatePrefixIndex?
    /// Uncached prompt tokens counted for requests without a first token.
    private var pending: [Int: Int] = [:]
    private(set) var nextWake: Instant?

    init(_ policy: RoutingPolicy, engine: EngineConfiguration, replicas: Int, seed: UInt64) {
        table = CandidateTable((0..<replicas).map { .init(name: "replica-\($0)") })
        let seed = seed &* 0x9E37_79B9 &+ 17
        let identities = table.identities
        func llmd(_ policy: WeightedPolicy) -> WeightedPicking {
            WeightedPicking(policy, identities: identities, seed: seed)
        }
        switch policy {
        case .roundRobin: picker = RoundRobinPicker()
        case .leastRequests: picker = LeastRequestsPicker(generator: SeededGenerator(seed: seed))
        case .random: picker = RandomPicker(generator: SeededGenerator(seed: seed))
        case .llmd3222: picker = llmd(.prefixBlend)
        case .llmd322: picker = llmd(.routerDefault)
        case .llmdAffinity: picker = llmd(.stickyTokenLoad)
        }
        if policy.isLLMD {
            // Auto-tuning takes the engine's number of blocks, whatever their size.
            index = ApproximatePrefixIndex(replicas: replicas, capacity: engine.kvBlocks)
            nextWake = .zero
        }
    }

    mutating func realtimeArrived(_ id: Int, now: Instant, fleet: inout Fleet) {
        let blocks =
            index == nil ? [] : fleet.promptBlocks(id, tokensPerBlock: ApproximatePrefixIndex.blockTokens).hashes
        let promptTokens = Int(fleet.requests[id].promptTokens)
        if let index {
            table.promptBlocks = Int32(ApproximatePrefixIndex.blockCount(promptTokens: promptTokens))
            for (replica, count) in index.matches(blocks).enumerated() {
                table.cachedBlocks[replica] = Int32(count)
                table.cachedPromptTokens[replica] = Int32(
                    min(count * ApproximatePrefixIndex.blockTokens, promptTokens))
            }
        }
        let request = RoutingRequest(
            id: UInt64(id), promptTokens: promptTokens, expectedOutputTokens: fleet.visibleMaxTokens(id))
        let replica = picker.pick(request, from: table, now: now)
        let uncached = table.uncachedTokens(of: request, at: replica)
        index?.insert(blocks, at: replica)
        pending[id] = uncached
        table.pendingPrefillTokens[replica] += Int32(uncached)
        table.inFlightRequests[replica] += 1
        fleet.send(id, to: replica, now: now)
    }

    mutating func happened(_ event: FleetEvent, now: Instant, fleet: inout Fleet) {
        switch event {
        case .firstToken(let id): release(id, fleet)
        case .finished(let id), .refused(let id):
            release(id, fleet)
            table.inFlightRequests[Int(fleet.requests[id].replica)] -= 1
        case .progressed: break
        }
    }

    mutating func wake(now: Instant, fleet: inout Fleet) {
        for replica in fleet.engines.indices {
            let load = fleet.engines[replica].load
            table.scrapedWaiting[replica] = Int32(clamping: load.waiting)
            table.scrapedRunning[replica] = Int32(clamping: load.running)
            table.scrapedKVUsage[replica] = Float(load.kvUsage)
        }
        nextWake = now + Self.scrapeInterval
    }

    /// Uncached tokens count until the first piece of the answer is out.
    private mutating func release(_ id: Int, _ fleet: borrowing Fleet) {
        guard let tokens = pending.removeValue(forKey: id) else { return }
        table.pendingPrefillTokens[Int(fleet.requests[id].replica)] -= Int32(tokens)
    }
}
