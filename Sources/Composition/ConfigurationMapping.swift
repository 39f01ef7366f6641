import Admission
import Basics
import EngineModel
import Gateway
import Harvest
import Pool
import PoolScheduler
import Routing
public import WeirConfiguration

extension GatewayConfiguration {
    /// What `weir.yaml` says, in the gateway's own terms.
    ///
    /// - Parameter noting: told once what of the files that it names is accepted without effect.
    init(_ configuration: Configuration, noting: (String) -> Void = { _ in }) throws(ServiceError) {
        self.init(
            host: configuration.gateway.listen.host, port: configuration.gateway.listen.port,
            threads: configuration.gateway.threads, limits: GatewayLimits(configuration.gateway.limits),
            trustedCallers: configuration.gateway.trustedCallers.compactMap { NetworkBlock($0.description) },
            tenants: configuration.gateway.tenants.map { tenant in
                Tenant(name: tenant.name, keys: tenant.keys.map(\.value))
            },
            acceptsTenantHeader: configuration.gateway.tenantHeader,
            objectives: Dictionary(
                configuration.objectives.map { ($0.name, $0.priority) }, uniquingKeysWith: { first, _ in first }),
            sessionHeaders: configuration.gateway.sessionHeaders.map { $0.lowercased() },
            rewrites: configuration.gateway.rewrites.map { rewrite in
                ModelRewrite(
                    model: rewrite.model,
                    targets: rewrite.targets.map {
                        ModelRewrite.Target(model: $0.model, weight: $0.weight, endpointLabels: $0.endpointLabels)
                    })
            },
            pools: [])
        var files = EndpointPickerFiles()
        for (index, pool) in configuration.pools.enumerated() {
            pools.append(try GatewayPool(pool, at: "pools[\(index)]", isDefault: index == 0, files: &files))
        }
        files.notices.forEach(noting)
    }
}

extension WeirService {
    /// Checks what a configuration says of the gateway, the files that it names included.
    ///
    /// - Returns: what of these files is accepted without effect.
    /// - Throws: what would keep the gateway from starting, as far as it does not depend on the machine.
    public static func check(_ configuration: Configuration) throws(ServiceError) -> [String] {
        var notices: [String] = []
        _ = try GatewayConfiguration(configuration) { notices.append($0) }
        return notices
    }
}

extension GatewayLimits {
    fileprivate init(_ limits: Configuration.Limits) {
        self.init()
        requestBodyBytes = limits.requestBodyBytes
        bufferedBodyBytes = limits.bufferedBodyBytes
        requestBodyWindowBytes = limits.requestBodyWindowBytes
        responseBufferBytes = limits.responseBufferBytes
        headerBytes = limits.headerBytes
        connections = limits.connections
        headTimeout = limits.headTimeout
        bodyTimeout = limits.bodyTimeout
        keepAliveIdle = limits.keepAliveIdle
        firstByteTimeout = limits.firstByteTimeout
        upstreamStallTimeout = limits.upstreamStallTimeout
        connectTimeout = limits.connectTimeout
    }
}

extension GatewayPool {
    /// - Parameters:
    ///   - place: where the pool stands in the file, for errors.
    ///   - files: reads the files that it names.
    fileprivate init(
        _ pool: Configuration.Pool, at place: String, isDefault: Bool, files: inout EndpointPickerFiles
    ) throws(ServiceError) {
        let capacity = try EndpointCapacity(pool)
        let routing = try PoolRouting(pool, at: place, files: &files)
        var harvest = HarvestConfiguration()
        harvest.tpotLimitMilliseconds = pool.slo.tpot.milliseconds
        harvest.ttftLimitMilliseconds = pool.slo.ttft.milliseconds
        harvest.stepShare = pool.harvest.stepShare
        harvest.prefillShare = pool.harvest.prefillShare
        harvest.prefillBurstMilliseconds = pool.harvest.prefillBurst.milliseconds
        harvest.brakeShare = pool.harvest.brakeShare
        harvest.cautiousBrakeShare = pool.harvest.cautiousBrakeShare
        harvest.kvShare = pool.harvest.kvShare
        harvest.reserveQuantile = pool.harvest.reserveQuantile
        harvest.abortedTokenShare = pool.harvest.abortedTokenShare
        harvest.cautiousAbortedTokenShare = pool.harvest.cautiousAbortedTokenShare
        harvest.toleratedMissShare = pool.harvest.toleratedMissShare
        harvest.maxInFlightPerEndpoint = pool.harvest.maxInFlightPerEndpoint
        harvest.isEnabled = pool.harvest.enabled
        self.init(
            name: pool.name, models: pool.models,
            endpoints: pool.endpoints.map { endpoint in
                GatewayEndpoint(
                    host: endpoint.url.host, port: endpoint.url.port, metrics: .init(endpoint.engine),
                    capacity: capacity, labels: endpoint.labels)
            },
            admission: try AdmissionConfiguration(pool, at: place, picker: routing.picker), harvest: harvest,
            routing: routing.policy, shadow: routing.shadow,
            // A seed of our own, so that no client can aim at one place of the table.
            prefix: PrefixMemory(
                maximumEntries: pool.routing.prefix.maxEntries, seed: .random(in: .min ... .max)),
            tokenizer: TokenizerSettings(pool.routing.prefix.tokenizer), isDefault: isDefault,
            scrapeInterval: pool.scrape.interval,
            scrapeTimeout: pool.scrape.timeout, metricsPath: pool.scrape.path, attributes: routing.attributes)
    }
}

extension TokenizerSettings {
    fileprivate init(_ settings: Configuration.Routing.Tokenizer) {
        self.init()
        path = settings.path
        timeout = settings.timeout
        maximumBytes = settings.maxBytes
    }
}

extension EndpointCapacity {
    /// The preset with the constants that replace parts of it.
    ///
    /// The preset's KV cache size is left out: endpoints report their own, and a guess must not be taken for knowledge.
    fileprivate init(_ pool: Configuration.Pool) throws(ServiceError) {
        let settings = pool.engine
        guard let preset = EngineConfiguration.preset(named: settings.preset) else {
            throw ServiceError("pool \(pool.name): there is no engine preset \(settings.preset)", isConfiguration: true)
        }
        var stepTime = preset.stepTime
        if let value = settings.baseMilliseconds { stepTime.baseMilliseconds = value }
        if let value = settings.perDecodeMilliseconds { stepTime.perDecodeMilliseconds = value }
        if let value = settings.perContextTokenMilliseconds { stepTime.perContextTokenMilliseconds = value }
        if let value = settings.perPrefillTokenMilliseconds { stepTime.perPrefillTokenMilliseconds = value }
        let concurrency = pool.admission.maxConcurrentRequestsPerEndpoint
        self.init(
            stepTime: stepTime, kvTokens: settings.kvTokens,
            maxConcurrentRequests: min(concurrency, settings.maxSequences ?? concurrency))
    }
}

extension GatewayEndpoint.Metrics {
    fileprivate init(_ kind: Configuration.EngineKind) {
        switch kind {
        case .auto: self = .detected
        case .none: self = .none
        default: self = EngineProfile.named(kind.rawValue).map { .of($0) } ?? .detected
        }
    }
}
