public import Basics

/// One model server of a pool: its name, capacity, health and live load.
public struct Endpoint: Sendable {
    /// The name shown in logs, metrics and results: normally host and port.
    public let name: String
    /// Labels, for rules that name endpoints by them.
    public let labels: [String: String]
    /// Size and speed.
    public var capacity: EndpointCapacity
    /// Whether it may be given work.
    public var isUp: Bool
    /// The gateway's own counters.
    public var load = EndpointLoad()
    /// Work that others have sent it, from scraped metrics.
    public var foreignLoad = ForeignLoad()

    /// Creates an endpoint that is up and idle.
    public init(name: String, capacity: EndpointCapacity, isUp: Bool = true, labels: [String: String] = [:]) {
        self.name = name
        self.labels = labels
        self.capacity = capacity
        self.isUp = isUp
    }

    /// Whether one more request of `demand` fits its concurrency limit and, where known, its KV cache.
    ///
    /// An idle endpoint accepts everything: if the request is too large, the engine's own error is the honest answer.
    public func accepts(_ demand: RequestDemand, now: Instant) -> Bool {
        isUp && capacity.accepts(demand, beside: load, foreignRequests: foreignLoad.requests(now: now))
    }
}
