/// What the status page shows: the state of the process at one moment.
public struct StatusSnapshot: Hashable, Sendable {
    /// The build.
    public var version: String
    /// Time since the start, in seconds.
    public var uptimeSeconds: Double
    /// Open client connections.
    public var connections: Int
    /// Every pool.
    public var pools: [Pool]
    /// Every queue of asynchronous work.
    public var queues: [Queue]

    /// Creates a snapshot.
    public init(
        version: String, uptimeSeconds: Double, connections: Int = 0, pools: [Pool] = [], queues: [Queue] = []
    ) {
        self.version = version
        self.uptimeSeconds = uptimeSeconds
        self.connections = connections
        self.pools = pools
        self.queues = queues
    }

    /// One pool.
    public struct Pool: Hashable, Sendable {
        /// Its name.
        public var name: String
        /// The models it serves.
        public var models: [String]
        /// Its endpoints.
        public var endpoints: [Endpoint]
        /// Its waiting requests, by priority.
        public var bands: [Band]
        /// Batch requests in flight that it allows now.
        public var allowedBatchRequests: Int
        /// Batch requests in flight.
        public var batchRequestsInFlight: Int
        /// What it has learned; nil if nobody asked it.
        public var insight: PoolInsight?

        /// Creates a pool.
        public init(
            name: String, models: [String], endpoints: [Endpoint], bands: [Band], allowedBatchRequests: Int,
            batchRequestsInFlight: Int, insight: PoolInsight? = nil
        ) {
            self.name = name
            self.models = models
            self.endpoints = endpoints
            self.bands = bands
            self.allowedBatchRequests = allowedBatchRequests
            self.batchRequestsInFlight = batchRequestsInFlight
            self.insight = insight
        }
    }

    /// One endpoint.
    public struct Endpoint: Hashable, Sendable {
        /// Its root.
        public var url: String
        /// Whether it takes requests.
        public var isUp: Bool
        /// Real-time requests that this gateway has on it.
        public var realtimeInFlight: Int
        /// Batch requests that this gateway has on it.
        public var batchInFlight: Int
        /// Requests waiting inside it, as last reported; nil if it does not say.
        public var waiting: Int?
        /// Use of its KV cache (0...1), as last reported; nil if it does not say.
        public var kvUsage: Double?
        /// What is known of it; nil if nobody asked.
        public var insight: EndpointInsight?

        /// Creates an endpoint.
        public init(
            url: String, isUp: Bool, realtimeInFlight: Int, batchInFlight: Int, waiting: Int? = nil,
            kvUsage: Double? = nil, insight: EndpointInsight? = nil
        ) {
            self.url = url
            self.isUp = isUp
            self.realtimeInFlight = realtimeInFlight
            self.batchInFlight = batchInFlight
            self.waiting = waiting
            self.kvUsage = kvUsage
            self.insight = insight
        }
    }

    /// Requests of one priority that wait in the gateway.
    public struct Band: Hashable, Sendable {
        /// The priority.
        public var priority: Int
        /// How many wait.
        public var waiting: Int
        /// What they hold, and how the band is shared; nil if nobody asked.
        public var insight: BandInsight?

        /// Creates a band.
        public init(priority: Int, waiting: Int, insight: BandInsight? = nil) {
            self.priority = priority
            self.waiting = waiting
            self.insight = insight
        }
    }

    /// One queue of asynchronous work.
    public struct Queue: Hashable, Sendable {
        /// Its name.
        public var name: String
        /// Messages not finished.
        public var depth: Int
        /// Messages that this process holds.
        public var leased: Int
        /// Messages finished since the start.
        public var finished: Int
        /// Messages at the broker that nobody has acknowledged; nil where that is not known.
        public var backlog: Int?

        /// Creates a queue.
        public init(name: String, depth: Int, leased: Int, finished: Int, backlog: Int? = nil) {
            self.name = name
            self.depth = depth
            self.leased = leased
            self.finished = finished
            self.backlog = backlog
        }
    }

    /// The snapshot as `/status.json` serves it; keys are those of the properties in snake case.
    public func json() -> [UInt8] {
        var json = JSONWriter()
        json.object { status in
            status.value("version", version)
            status.value("uptime_s", uptimeSeconds.rounded())
            status.value("connections", connections)
            status.array("pools") { list in pools.forEach { $0.write(to: &list) } }
            status.array("queues") { list in
                for queue in queues {
                    list.object { entry in
                        entry.value("name", queue.name)
                        entry.value("depth", queue.depth)
                        entry.value("leased", queue.leased)
                        entry.value("finished", queue.finished)
                        entry.value("backlog", ifPresent: queue.backlog)
                    }
                }
            }
        }
        return json.bytes
    }
}

extension StatusSnapshot.Pool {
    fileprivate func write(to json: inout JSONWriter) {
        json.object { pool in
            pool.value("name", name)
            pool.array("models") { list in models.forEach { list.value(nil, $0) } }
            pool.array("endpoints") { list in
                for endpoint in endpoints {
                    list.object { entry in
                        entry.value("url", endpoint.url)
                        entry.value("up", endpoint.isUp)
                        entry.value("realtime_in_flight", endpoint.realtimeInFlight)
                        entry.value("batch_in_flight", endpoint.batchInFlight)
                        entry.value("waiting", ifPresent: endpoint.waiting)
                        entry.value("kv_usage", ifPresent: endpoint.kvUsage)
                        endpoint.insight?.write(to: &entry)
                    }
                }
            }
            pool.array("bands") { list in
                for band in bands {
                    list.object { entry in
                        entry.value("priority", band.priority)
                        entry.value("waiting", band.waiting)
                        band.insight?.write(to: &entry)
                    }
                }
            }
            pool.value("allowed_batch_requests", allowedBatchRequests)
            pool.value("batch_requests_in_flight", batchRequestsInFlight)
            insight?.write(to: &pool)
        }
    }
}
