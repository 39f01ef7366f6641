public import Admission
public import Harvest
public import Pool
public import Routing

/// Everything a pool's scheduler is told once.
public struct PoolConfiguration: Sendable {
    /// The pool's name.
    public var name: String
    /// Its endpoints, in table order.
    public var endpoints: [Endpoint]
    /// Bounds on waiting.
    public var admission: AdmissionConfiguration
    /// What batch work may take.
    public var harvest: HarvestConfiguration
    /// How what endpoints have cached is remembered.
    public var prefix: PrefixMemory
    /// How real-time requests find their endpoints.
    public var routing: RoutingPolicy
    /// A policy that is scored beside the live one and never followed.
    public var shadow: RoutingPolicy?
    /// Names of the attributes whose values come with scraped metrics, in that order.
    public var attributes: [String]

    /// Creates a configuration.
    public init(
        name: String, endpoints: [Endpoint], admission: AdmissionConfiguration = .init(),
        harvest: HarvestConfiguration = .init(), prefix: PrefixMemory = .init(),
        routing: RoutingPolicy = .cost(.init()), shadow: RoutingPolicy? = nil,
        attributes: [String] = []
    ) {
        self.name = name
        self.endpoints = endpoints
        self.admission = admission
        self.harvest = harvest
        self.prefix = prefix
        self.routing = routing
        self.shadow = shadow
        self.attributes = attributes
    }
}

/// How what endpoints have cached is remembered.
public struct PrefixMemory: Hashable, Sendable {
    /// Distinct blocks of text, and as many of tokens, that are remembered.
    public var maximumEntries: Int
    /// Spreads the blocks over the table; a random one per process keeps clients from aiming.
    public var seed: UInt64

    /// Creates the settings.
    public init(maximumEntries: Int = 1 << 20, seed: UInt64 = 0) {
        self.maximumEntries = maximumEntries
        self.seed = seed
    }
}
