import Basics

/// A gate that compares a value D, 0 full ... 1 idle, with a threshold B: closed where D ≤ B, else open by D - B (shared
/// reference `async-processor.md` 4.3).
struct MetricGate: Sendable {
    /// How the raw value of `endpoint-scrape` becomes D.
    struct Conversion: Sendable {
        let perPod: Double
        let pods: GateSource?
        let isBudget: Bool
        let absentValue: Double?
        let isCounted: Bool
    }

    /// What the sources say at one moment.
    enum Finding: Equatable {
        /// D, and how many more requests fit where they are counted.
        case value(Double, free: Double)
        /// They answered, and have no number.
        case absent
        case failed(String)
    }

    /// Where the value is read: the first source with a sample wins.
    let sources: [GateSource]
    /// B.
    let threshold: Double
    /// The budget while the sources have no number.
    let whenAbsent: Double
    /// The budget while they cannot be asked.
    let whenFailed: Double
    /// The inference pool it measures.
    let inferencePool: String
    let conversion: Conversion?

    private init(
        sources: [GateSource], threshold: Double = 0, whenAbsent: Double, whenFailed: Double,
        inferencePool: String = "",
        conversion: Conversion? = nil
    ) {
        self.sources = sources
        self.threshold = threshold
        self.whenAbsent = whenAbsent
        self.whenFailed = whenFailed
        self.inferencePool = inferencePool
        self.conversion = conversion
    }

    init(_ gate: GateConfiguration.Redis) {
        self.init(
            sources: [.redisKey(address: gate.address, key: gate.budgetKey)], whenAbsent: gate.fallback ?? 0,
            whenFailed: 0)
    }

    init(_ gate: GateConfiguration.PrometheusSaturation) {
        let fallback = gate.fallback.map { 1 - $0 } ?? 0
        self.init(
            sources: [.prometheus(query: GateQueries.saturation(gate))], threshold: 1 - gate.threshold,
            whenAbsent: fallback, whenFailed: fallback, inferencePool: gate.pool)
    }

    init(_ gate: GateConfiguration.PrometheusBudget) {
        self.init(
            sources: GateQueries.budget(gate).map { .prometheus(query: $0) }, threshold: gate.baseline,
            whenAbsent: gate.fallback, whenFailed: gate.fallback, inferencePool: gate.pool)
    }

    init(_ gate: GateConfiguration.PrometheusQuery) {
        self.init(
            sources: [.prometheus(query: gate.query)], whenAbsent: gate.fallback, whenFailed: gate.fallback,
            inferencePool: gate.pool ?? "")
    }

    init(_ gate: GateConfiguration.EndpointScrape) {
        var pods: GateSource?
        if let url = gate.podsURL, let metric = gate.podsMetric {
            pods = .scrape(url: url, metric: metric, labels: gate.podsLabels)
        }
        self.init(
            sources: [.scrape(url: gate.url, metric: gate.metric, labels: gate.labels)], threshold: gate.baseline,
            whenAbsent: gate.fallback, whenFailed: gate.fallback,
            conversion: Conversion(
                perPod: gate.maxCountPerPod, pods: pods, isBudget: gate.valueType == .budget,
                absentValue: gate.absentValue, isCounted: gate.admission == .counted))
    }

    /// All that it reads.
    var allSources: [GateSource] { sources + (conversion?.pods.map { [$0] } ?? []) }

    /// What its sources say now.
    func finding(_ board: ReadingBoard, now: Instant) -> Finding {
        var result = Finding.failed("there is no source")
        for (index, source) in sources.enumerated() {
            let found = finding(of: source, board, now: now)
            if case .value = found { return found }
            // An answer without a sample says more than a source that could not be asked, and the first of each kind most.
            if index == 0 || (found == .absent && result != .absent) { result = found }
        }
        return result
    }

    /// The budget, 0 closed ... 1, of a finding.
    func budget(_ finding: Finding) -> Double {
        switch finding {
        case .value(let value, _): value <= threshold ? 0 : min(1, value - threshold)
        case .absent: whenAbsent
        case .failed: whenFailed
        }
    }

    private func finding(of source: GateSource, _ board: ReadingBoard, now: Instant) -> Finding {
        var raw: Double
        switch board.reading(of: source, now: now) {
        case .value(let value): raw = value
        case .absent:
            guard let assumed = conversion?.absentValue else { return .absent }
            raw = assumed
        case .failed(let reason): return .failed(reason)
        }
        guard let conversion else { return .value(raw, free: .infinity) }
        var capacity = conversion.perPod
        if let pods = conversion.pods {
            switch board.reading(of: pods, now: now) {
            case .value(let count) where count > 0: capacity *= count
            case .value, .absent: return .absent
            case .failed(let reason): return .failed(reason)
            }
        }
        let free = conversion.isCounted ? max(0, capacity - max(0, raw)).rounded(.down) : .infinity
        if capacity > 0 { raw /= capacity }
        let share = min(1, max(0, raw))
        return .value(conversion.isBudget ? share : 1 - share, free: free)
    }
}
