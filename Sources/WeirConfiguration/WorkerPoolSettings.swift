public import DispatchGates

extension Configuration {
    /// What several queues share: a bound on the requests they have under way, and a gate.
    public struct WorkerPool: Hashable, Sendable {
        /// The pool's name, which queues refer to.
        public var name = ""
        /// Most requests under way at a time; nil stands for what the target of the requests has room for, or for
        /// ``standardWorkers`` where that is unknown.
        public var workers: Int?
        /// What lets requests through; nil lets all.
        public var gate: Gate?

        /// Creates a pool without a name.
        public init() {}

        /// Creates a pool without a gate.
        public init(name: String, workers: Int? = nil) {
            self.name = name
            self.workers = workers
        }

        /// The pool of queues that name none; it exists also where it is not written.
        public static let standardName = "default"
        /// Most requests under way where nothing else bounds them.
        public static let standardWorkers = 64
    }

    /// What decides whether a request may go now.
    public struct Gate: Hashable, Sendable {
        /// The kind of gate.
        public var type = ""
        /// What it is told, by name.
        public var parameters: [String: GateParameter] = [:]

        /// Creates a gate of no kind.
        public init() {}

        /// Creates a gate.
        public init(type: String, parameters: [String: GateParameter] = [:]) {
            self.type = type
            self.parameters = parameters
        }
    }
}

extension Configuration.WorkerPool: Section {
    static var fields: [Field<Self>] {
        [
            .scalar("name", \.name, .text, required: true, "The name that queues refer to; unique."),
            .optional(
                "workers", \.workers, .positiveCount,
                "Most requests of the pool's queues under way at a time. Left out: \(standardWorkers) with a `target`, and "
                    + "with the gateway of this process what its pools have room for."),
            .optionalSection("gate", \.gate, "What lets requests of the pool through. Left out: all may go."),
        ]
    }
}

extension Configuration.Gate: Section {
    static var fields: [Field<Self>] {
        [
            .scalar("type", \.type, .text, required: true, "The kind of gate, such as `prometheus-saturation`."),
            .tree(
                "parameters", \.parameters,
                "What the gate is told; which names there are depends on its type. A text may also hold a number or, for "
                    + "nested gates, JSON."),
        ]
    }
}

extension Configuration.Async {
    /// The pools of workers by name, the one called ``Configuration/WorkerPool/standardName`` always among them.
    public var allWorkerPools: [Configuration.WorkerPool] {
        let standard = Configuration.WorkerPool.standardName
        return workerPools.contains { $0.name == standard } ? workerPools : [.init(name: standard)] + workerPools
    }
}
