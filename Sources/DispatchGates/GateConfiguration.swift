/// A gate as configured: `gate_type` and `gate_params`, with upstream's names and defaults (shared reference
/// `async-processor.md` 1.2 and 4.2).
///
/// Differences by intent: an unknown type or parameter is an error, and a gate is closed when its source has nothing to
/// say, unless `fallback` is given.
public indirect enum GateConfiguration: Hashable, Sendable {
    /// A fixed budget: 1, always open. Upstream takes no parameter; `budget` is ours.
    case constant(budget: Double)
    /// A budget that somebody writes to a Redis key.
    case redis(Redis)
    /// So many requests, at once or per window, for each value of a metadata attribute.
    case redisQuota(RedisQuota)
    /// So many requests of this process at once.
    case localMaxConcurrency(LocalMaxConcurrency)
    /// Closed while the pool's saturation is at or above a threshold.
    case prometheusSaturation(PrometheusSaturation)
    /// What the pool has free, by the first of three metrics that has a sample.
    case prometheusBudget(PrometheusBudget)
    /// A budget by the operator's own query.
    case prometheusQuery(PrometheusQuery)
    /// What a metrics endpoint says, without a Prometheus server.
    case endpointScrape(EndpointScrape)
    /// All of them, in order.
    case composite([GateConfiguration])
    /// The inner gate, keeping hold of what it refuses.
    case waitOnRefuse(GateConfiguration)
    /// Who goes, waits and is turned away while the inner gate is closed.
    case tierPriorityAdmission(TierPriorityAdmission)
    /// Windows that grow and shrink by how requests end.
    case aimd(AIMD)

    /// The gate types that there are.
    public static let types = [
        "aimd", "composite", "constant", "endpoint-scrape", "local-max-concurrency", "prometheus-budget",
        "prometheus-query", "prometheus-saturation", "redis", "redis-quota", "tier-priority-admission",
        "wait-on-refuse",
    ]
    /// The most gates in one another.
    static let maximumDepth = 8
    /// The most gates in one configuration.
    static let maximumCount = 64

    /// Reads a gate.
    ///
    /// - Parameters:
    ///   - type: the `gate_type`.
    ///   - parameters: the `gate_params`; numbers may be text, nested gates may be JSON in a text, and an empty text
    ///     counts as not given.
    ///   - place: put before the key paths of errors, for example `queues[2].`.
    /// - Throws: the key path and what was expected there.
    public init(
        type: String, parameters: [String: GateParameter], at place: String = ""
    ) throws(GateConfigurationError) {
        var count = 0
        self = try Self.read(type: type, parameters: parameters, place: place, depth: 1, count: &count)
    }

    /// The `gate_type`.
    public var type: String {
        switch self {
        case .constant: "constant"
        case .redis: "redis"
        case .redisQuota: "redis-quota"
        case .localMaxConcurrency: "local-max-concurrency"
        case .prometheusSaturation: "prometheus-saturation"
        case .prometheusBudget: "prometheus-budget"
        case .prometheusQuery: "prometheus-query"
        case .endpointScrape: "endpoint-scrape"
        case .composite: "composite"
        case .waitOnRefuse: "wait-on-refuse"
        case .tierPriorityAdmission: "tier-priority-admission"
        case .aimd: "aimd"
        }
    }

    static func read(
        type: String, parameters: [String: GateParameter], place: String, depth: Int, count: inout Int
    ) throws(GateConfigurationError) -> GateConfiguration {
        count += 1
        guard depth <= maximumDepth, count <= maximumCount else {
            throw GateConfigurationError(
                path: place + "gate_type",
                problem: "too many gates: at most \(maximumDepth) in one another and \(maximumCount) in all")
        }
        var reader = GateParameterReader(parameters, place: place + "gate_params")
        let gate = try read(type: type, from: &reader, place: place, depth: depth, count: &count)
        try reader.finish(type: type)
        return gate
    }

    private static func read(
        type: String, from reader: inout GateParameterReader, place: String, depth: Int, count: inout Int
    ) throws(GateConfigurationError) -> GateConfiguration {
        switch type {
        case "constant": return .constant(budget: try reader.number("budget", in: 0...1) ?? 1)
        case "redis": return .redis(try Redis(from: &reader))
        case "redis-quota": return .redisQuota(try RedisQuota(from: &reader))
        case "local-max-concurrency": return .localMaxConcurrency(try LocalMaxConcurrency(from: &reader))
        case "prometheus-saturation": return .prometheusSaturation(try PrometheusSaturation(from: &reader))
        case "prometheus-budget": return .prometheusBudget(try PrometheusBudget(from: &reader))
        case "prometheus-query": return .prometheusQuery(try PrometheusQuery(from: &reader))
        case "endpoint-scrape": return .endpointScrape(try EndpointScrape(from: &reader))
        case "aimd": return .aimd(try AIMD(from: &reader))
        case "composite":
            var gates: [GateConfiguration] = []
            for nested in try reader.gates("gates") { gates.append(try nested.configuration(depth + 1, &count)) }
            return .composite(gates)
        case "wait-on-refuse": return .waitOnRefuse(try reader.gate("gate").configuration(depth + 1, &count))
        case "tier-priority-admission":
            let inner = NestedGate(
                type: try reader.requiredText("saturation_gate"),
                parameters: try reader.object("saturation_gate_params") ?? [:],
                typePath: reader.path("saturation_gate"), parametersPath: reader.path("saturation_gate_params"))
            let tierLabel = try reader.text("tier_label") ?? "tier"
            return .tierPriorityAdmission(
                TierPriorityAdmission(
                    saturationGate: try inner.configuration(depth + 1, &count), tierLabel: tierLabel))
        default:
            throw GateConfigurationError(
                path: place + "gate_type",
                problem: "there is no gate \"\(type.prefix(60))\"; expected one of \(types.joined(separator: ", "))")
        }
    }
}
