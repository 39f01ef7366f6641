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
    public var admission: AdmissionLimits
    /// What batch work may take.
    public var harvest: HarvestConfiguration
    /// How the parts of a place's cost count.
    public var routing: RoutingCostConfiguration

    /// Creates a configuration.
    public init(
        name: String, endpoints: [Endpoint], admission: AdmissionLimits = .init(),
        harvest: HarvestConfiguration = .init(), routing: RoutingCostConfiguration = .init()
    ) {
        self.name = name
        self.endpoints = endpoints
        self.admission = admission
        self.harvest = harvest
        self.routing = routing
    }
}
