/// The whole of `weir.yaml`: the one definition from which reading, checking, the reference page, the printed
/// effective configuration and the defaults derive.
public struct Configuration: Hashable, Sendable {
    /// The real-time path.
    public var gateway = Gateway()
    /// Probes, metrics and the status page.
    public var admin = Admin()
    /// The pools of model servers; empty where all requests come from queues and go to another gateway.
    public var pools: [Pool] = []
    /// What a request may name to get its priority.
    public var objectives = Objective.defaults
    /// The asynchronous path; nil switches it off.
    public var async: Async?

    /// Creates a configuration of defaults, without pools.
    public init() {}
}

extension Configuration {
    /// Whether this process has a gateway; without one, all requests come from queues and go elsewhere.
    public var runsGateway: Bool { !pools.isEmpty }

    /// The queue that clients hand requests in to over HTTP; nil if they cannot.
    ///
    /// It is the one that `async.frontDoor.queue` names, or else the first embedded one.
    public var frontDoorQueue: MessageQueue? {
        guard runsGateway, let async, async.frontDoor.enabled else { return nil }
        return async.queues.first { $0.embedded != nil && $0.name == async.frontDoor.queue ?? $0.name }
    }
}

extension Configuration: Section {
    static var fields: [Field<Self>] {
        [
            .section("gateway", \.gateway, "The real-time path: the HTTP listener that clients talk to."),
            .section("admin", \.admin, "The listener for probes, metrics and the status page."),
            .sections(
                "pools", \.pools,
                "The pools of model servers. A pool serves one or more models. Required, unless every queue has a `target`: "
                    + "then this process runs without a gateway."),
            .sections(
                "objectives", \.objectives,
                "Names that a request may carry to get a priority. Left out: `realtime` at 0 and `batch` at -1."),
            .optionalSection("async", \.async, "The asynchronous path: queues and retries. Off when left out."),
        ]
    }
}

extension Configuration {
    /// Probes, metrics and the status page.
    public struct Admin: Hashable, Sendable {
        /// Where the admin server listens.
        public var listen = ListenAddress(host: "127.0.0.1", port: 9090)
        /// A second address, for the probes alone; nil for none.
        public var healthListen: ListenAddress?

        /// Creates the defaults.
        public init() {}
    }

    /// A name for a priority.
    public struct Objective: Hashable, Sendable {
        /// The name that requests carry.
        public var name = ""
        /// Higher goes first; below zero is sheddable.
        public var priority = 0

        /// Creates an objective without a name.
        public init() {}

        /// Creates an objective.
        public init(name: String, priority: Int) {
            self.name = name
            self.priority = priority
        }

        /// `realtime` at priority 0, which requests without an objective get too, and the sheddable `batch` at -1.
        public static let defaults = [Objective(name: "realtime", priority: 0), Objective(name: "batch", priority: -1)]
    }
}

extension Configuration.Admin: Section {
    static var fields: [Field<Self>] {
        [
            .scalar(
                "listen", \.listen, .listenAddress,
                "Address of `/healthz`, `/readyz`, `/metrics` and the status page. Port 0 takes a free one."),
            .optional(
                "healthListen", \.healthListen, .listenAddress,
                "A second address, for `/healthz` and `/readyz` alone. Left out: there is none."),
        ]
    }
}

extension Configuration.Objective: Section {
    static var fields: [Field<Self>] {
        [
            .scalar("name", \.name, .text, required: true, "The name that requests carry."),
            .scalar(
                "priority", \.priority, .integer,
                "Higher goes first, strictly. Below 0 is sheddable: served only from what real-time work leaves."),
        ]
    }
}
