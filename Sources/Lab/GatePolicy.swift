import DispatchGates

/// A dispatch gate of llm-d's async processor at work: the code that ships, in front of a pool of workers.
public struct GatePolicy: Hashable, Sendable {
    /// Which gate.
    public enum Kind: String, Hashable, Sendable, CaseIterable {
        /// Always open: the workers alone bound what is in flight.
        case constant
        /// `prometheus-saturation`, threshold 0.8.
        case saturation
        /// `prometheus-budget` with its defaults, on the metric that a stock install has: waiting requests per pod.
        case budget
        /// `prometheus-query`: 1 less running requests over what the pool takes at saturation 0.8.
        case query
        /// `endpoint-scrape` of waiting requests, at most 5 per pod.
        case scrape
        /// `redis`: a controller writes 1 - saturation.
        case redis
        /// `local-max-concurrency`.
        case localMax = "local-max"
        /// `composite` of saturation and local concurrency, as in upstream's benchmark.
        case composite
        /// `aimd`, behind a gateway that turns batch work away at saturation 0.8.
        case aimd

        /// Whether it reads a metric.
        var reads: Bool {
            switch self {
            case .saturation, .budget, .query, .scrape, .redis, .composite: true
            case .constant, .localMax, .aimd: false
            }
        }
    }

    static let saturationThreshold = 0.8
    /// What an 8B model on an H100 runs at saturation 0.8 with the lines of the batch job.
    static let runningPerReplica = 96.0
    /// As in upstream's benchmark of the pool gate (`async-processor.md` 6.E).
    static let localLimit = 50
    private static let baseline = 0.05
    private static let budgetConcurrency = 100.0
    private static let waitingPerReplica = 5.0

    /// Which gate.
    public let kind: Kind
    /// Seconds from one look at its metric to the next; 0 for a gate that reads none.
    public let intervalSeconds: Int
    /// Whether messages are taken as upstream takes them, floor(batch × budget) at each poll, instead of up to
    /// ceil(workers × budget) in flight at any time.
    public let polls: Bool

    init(_ kind: Kind, every intervalSeconds: Int = 0, polls: Bool = false) {
        self.kind = kind
        self.intervalSeconds = kind.reads ? intervalSeconds : 0
        self.polls = polls
    }

    /// Reads `gate-KIND`, `gate-KIND-S` or the same with `poll`; S stands for seconds, and is 5 where left out.
    init?(named name: String) {
        let law = name.prefix { $0 != "-" }
        guard law == "gate" || law == "poll" else { return nil }
        var rest = name.dropFirst(law.count + 1)
        var seconds: Int?
        if let dash = rest.lastIndex(of: "-"), let number = Int(rest[rest.index(after: dash)...]) {
            guard (1...60).contains(number) else { return nil }
            seconds = number
            rest = rest[..<dash]
        }
        guard let kind = Kind(rawValue: String(rest)), kind.reads || seconds == nil else { return nil }
        self.init(kind, every: seconds ?? 5, polls: law == "poll")
    }

    /// How names are written; each `gate-` may be `poll-`, and S stands for seconds.
    static let patterns =
        Kind.allCases.map { "gate-\($0.rawValue)" + ($0.reads ? "-S" : "") } + ["poll-... as gate-..."]

    /// The name that reads back as this policy.
    public var name: String {
        (polls ? "poll-" : "gate-") + kind.rawValue + (kind.reads ? "-\(intervalSeconds)" : "")
    }

    /// The gate's configuration for a pool of so many replicas.
    func configuration(replicas: Int) -> GateConfiguration {
        let saturation = GateConfiguration.prometheusSaturation(
            .init(pool: "lab", threshold: Self.saturationThreshold))
        let local = GateConfiguration.localMaxConcurrency(.init(limit: Self.localLimit * replicas))
        switch kind {
        case .constant: return .constant(budget: 1)
        case .saturation: return saturation
        case .budget:
            return .prometheusBudget(
                .init(pool: "lab", maxConcurrency: Self.budgetConcurrency, baseline: Self.baseline))
        case .query:
            let capacity = Int(Self.runningPerReplica) * replicas
            return .prometheusQuery(.init(query: "1 - sum(vllm:num_requests_running) / \(capacity)"))
        case .scrape:
            var scrape = GateConfiguration.EndpointScrape(
                url: "http://replica/metrics", metric: "vllm:num_requests_waiting")
            scrape.maxCountPerPod = Self.waitingPerReplica
            return .endpointScrape(scrape)
        case .redis: return .redis(.init(address: "redis:6379"))
        case .localMax: return local
        case .composite: return .composite([saturation, local])
        case .aimd: return .aimd(.init())
        }
    }

    /// What the gate watches, and the level at which it closes.
    var watched: (signal: GateSignal, threshold: Double) {
        switch kind {
        case .constant, .saturation, .composite, .aimd: (.saturation, Self.saturationThreshold)
        case .budget: (.waiting(per: Self.budgetConcurrency), 1 - Self.baseline)
        case .query: (.running(per: Self.runningPerReplica), 1)
        case .scrape: (.waiting(per: Self.waitingPerReplica), 1)
        case .redis: (.saturation, 1)
        case .localMax: (.batchInFlight(per: Double(Self.localLimit)), 1)
        }
    }

    /// What a source of the gate's would say now.
    func reading(of source: GateSource, fleet: borrowing Fleet) -> GateReading {
        let level = watched.signal.level(of: fleet)
        switch kind {
        case .saturation, .query, .redis, .composite: return .value(1 - level)
        case .scrape: return .value(level * Self.waitingPerReplica)
        case .budget:
            // A stock install has no flow-control metrics; what its model servers run is asked for last.
            guard case .prometheus(let query) = source, query.contains("per_pod_queue_size") else { return .absent }
            return .value(1 - level)
        case .constant, .localMax, .aimd: return .absent
        }
    }
}
