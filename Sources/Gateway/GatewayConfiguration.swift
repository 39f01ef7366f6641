public import Admission
public import Basics
public import Harvest
public import Pool
public import PoolScheduler
public import Routing

/// Everything the gateway is told once, as plain values.
public struct GatewayConfiguration: Sendable {
    /// The address to listen on.
    public var host: String
    /// The port to listen on; 0 takes a free one, which `Gateway.boundPort` then tells.
    public var port: Int
    /// Event loop threads for requests; 0 takes one per core.
    public var threads: Int
    /// What one client, and all of them together, may take up.
    public var limits: GatewayLimits
    /// Peers whose control headers are honoured; from all others these headers are stripped.
    public var trustedCallers: [NetworkBlock]
    /// Those who share the gateway. If there are any, every request under `/v1` needs a key of one of them.
    public var tenants: [Tenant]
    /// Whether, where there are tenants, a trusted caller without a key may speak for one of them by naming it. Only safe
    /// if nothing forwards foreign requests from a trusted address.
    public var acceptsTenantHeader: Bool
    /// Priorities by objective name. A request that names none, or an unknown one, has priority 0.
    public var objectives: [String: Int]
    /// Headers that name the session of a request, by precedence, in lower case.
    public var sessionHeaders: [String]
    /// Models that are others to the endpoints.
    public var rewrites: [ModelRewrite]
    /// The pools; the first one that is a default takes requests that name no model.
    public var pools: [GatewayPool]

    /// Creates a configuration.
    public init(
        host: String = "127.0.0.1", port: Int = 8080, threads: Int = 0, limits: GatewayLimits = .init(),
        trustedCallers: [NetworkBlock] = NetworkBlock.loopback, tenants: [Tenant] = [],
        acceptsTenantHeader: Bool = false, objectives: [String: Int] = ["realtime": 0, "batch": -1],
        sessionHeaders: [String] = GatewayConfiguration.usualSessionHeaders, rewrites: [ModelRewrite] = [],
        pools: [GatewayPool]
    ) {
        self.host = host
        self.port = port
        self.threads = threads
        self.limits = limits
        self.trustedCallers = trustedCallers
        self.tenants = tenants
        self.acceptsTenantHeader = acceptsTenantHeader
        self.objectives = objectives
        self.sessionHeaders = sessionHeaders
        self.rewrites = rewrites
        self.pools = pools
    }

    /// The headers by which clients and agents name their sessions (shared reference `scheduling.md` 1.4, agent-identity).
    public static let usualSessionHeaders = [
        "x-session-id", "x-claude-code-session-id", "x-session-affinity", "session-id", "session_id",
    ]
}

/// Model servers that serve the same models and share one scheduler.
public struct GatewayPool: Sendable {
    /// The pool's name, in records, logs and the status.
    public var name: String
    /// The models that requests may name to reach this pool; empty asks the endpoints (`GET /v1/models`).
    public var models: [String]
    /// The model servers.
    public var endpoints: [GatewayEndpoint]
    /// Bounds on waiting.
    public var admission: AdmissionConfiguration
    /// What batch work may take.
    public var harvest: HarvestConfiguration
    /// How real-time requests find their endpoints.
    public var routing: RoutingPolicy
    /// A policy that is scored beside the live one and never followed.
    public var shadow: RoutingPolicy?
    /// How what endpoints have cached is remembered.
    public var prefix: PrefixMemory
    /// How prompts become tokens, for endpoints that publish what they have cached.
    public var tokenizer: TokenizerSettings
    /// Whether requests that name no model go here.
    public var isDefault: Bool
    /// Time between two reads of an endpoint's metrics.
    public var scrapeInterval: TimeSpan
    /// The longest that a read of metrics or a probe may take.
    public var scrapeTimeout: TimeSpan
    /// Where the endpoints serve their metrics.
    public var metricsPath: String
    /// Further metrics that routing policies read, by names of their own.
    public var attributes: [EndpointAttribute]

    /// Creates a pool.
    public init(
        name: String, models: [String] = [], endpoints: [GatewayEndpoint], admission: AdmissionConfiguration = .init(),
        harvest: HarvestConfiguration = .init(), routing: RoutingPolicy = .cost(.init()),
        shadow: RoutingPolicy? = nil, prefix: PrefixMemory = .init(), tokenizer: TokenizerSettings = .init(),
        isDefault: Bool = false,
        scrapeInterval: TimeSpan = .milliseconds(500), scrapeTimeout: TimeSpan = .seconds(1),
        metricsPath: String = "/metrics", attributes: [EndpointAttribute] = []
    ) {
        self.name = name
        self.models = models
        self.endpoints = endpoints
        self.admission = admission
        self.harvest = harvest
        self.routing = routing
        self.shadow = shadow
        self.prefix = prefix
        self.tokenizer = tokenizer
        self.isDefault = isDefault
        self.scrapeInterval = scrapeInterval
        self.scrapeTimeout = scrapeTimeout
        self.metricsPath = metricsPath
        self.attributes = attributes
    }
}

/// One model server, spoken to in plain HTTP/1.1.
public struct GatewayEndpoint: Sendable {
    /// Which metrics the server serves.
    public enum Metrics: Sendable {
        /// Find out from its page.
        case detected
        /// Those of this engine.
        case of(EngineProfile)
        /// None; the page is not read.
        case none
    }

    /// Host name or IP address.
    public var host: String
    /// TCP port.
    public var port: Int
    /// Which metrics it serves.
    public var metrics: Metrics
    /// Size and speed.
    public var capacity: EndpointCapacity
    /// Labels, for rules that name endpoints by them.
    public var labels: [String: String]

    /// Creates an endpoint.
    public init(
        host: String, port: Int, metrics: Metrics = .detected, capacity: EndpointCapacity,
        labels: [String: String] = [:]
    ) {
        self.host = host
        self.port = port
        self.metrics = metrics
        self.capacity = capacity
        self.labels = labels
    }

    /// The name shown in logs, records and headers, also the `Host` header: host and port.
    public var name: String { host.utf8.contains(UInt8(ascii: ":")) ? "[\(host)]:\(port)" : "\(host):\(port)" }
}

/// What one client, and all of them together, may take up. Sizes in bytes.
public struct GatewayLimits: Hashable, Sendable {
    /// Longest request body; a longer one gets 413.
    public var requestBodyBytes = 32 << 20
    /// Request bodies held by all requests together; above it, requests get 429. Messages of a queue may hold half of it,
    /// and stored results on their way to clients half as much again.
    public var bufferedBodyBytes = 1 << 30
    /// How much of a body is read before the request is routed; the rest streams through.
    public var requestBodyWindowBytes = 1 << 20
    /// Response bytes held for one client that reads slowly; then the endpoint is read no further.
    public var responseBufferBytes = 256 << 10
    /// Longest request head; a longer one gets 431.
    public var headerBytes = 64 << 10
    /// Open client connections; more wait to be accepted.
    public var connections = 20_000
    /// From the first byte of a request head to its end.
    public var headTimeout = TimeSpan.seconds(10)
    /// Longest pause within a request body.
    public var bodyTimeout = TimeSpan.seconds(30)
    /// Longest idle time between two requests on a connection.
    public var keepAliveIdle = TimeSpan.seconds(75)
    /// From sending a request to the first byte of the endpoint's answer.
    public var firstByteTimeout = TimeSpan.seconds(600)
    /// Longest pause between bytes of an answer that has begun, while the endpoint is being read from.
    public var upstreamStallTimeout = TimeSpan.seconds(120)
    /// Longest time to open a connection to an endpoint.
    public var connectTimeout = TimeSpan.seconds(2)
    /// Longest time for which a client may take none of the bytes that wait for it.
    public var clientStallTimeout = TimeSpan.seconds(120)
    /// How long an idle connection to an endpoint is kept. Below the 5 s after which uvicorn, the server of vLLM and
    /// SGLang, closes it, so that few requests meet a connection that is just being closed.
    public var upstreamIdle = TimeSpan.seconds(4)
    /// Endpoints that one request is tried on at most: a request that kills its server must not kill them all.
    public var attempts = 3

    /// Creates the defaults.
    public init() {}
}
