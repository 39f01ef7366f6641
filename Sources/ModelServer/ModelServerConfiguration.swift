public import EngineModel

/// How a simulated pool of model servers looks and behaves.
public struct ModelServerConfiguration: Hashable, Sendable {
    /// Where the time of a request goes.
    public enum Mode: Hashable, Sendable {
        /// Requests pass through the engine model.
        case engine
        /// Every request is answered at once; for measuring what is in front of the server.
        case instant
    }

    /// The address to listen on.
    public var host: String
    /// The port of the first replica; the others follow. 0 takes any free port for each.
    public var port: Int
    /// The number of servers, each with an engine of its own.
    public var replicas: Int
    /// The names by which requests may ask for the model; the first is the one in answers to `/v1/models` clients.
    public var models: [String]
    /// The engine of each replica.
    ///
    /// The `priority` of a request counts under `SchedulingPolicy.priority` and is ignored otherwise, where vLLM would
    /// answer 400. Under `BatchFill` a request with a priority above 0 is batch work.
    public var engine: EngineConfiguration
    /// How much faster than real time the engines run.
    public var speedup: Double
    /// Seed of output lengths, words, noise and faults; each replica derives its own.
    public var seed: UInt64
    /// Engine model or instant answers.
    public var mode: Mode
    /// The longest request in tokens, prompt and output together (`max_model_len`).
    public var maxModelTokens: Int
    /// The largest request body in bytes.
    public var maxBodyBytes: Int
    /// More waiting requests than this are refused with 429.
    public var maxWaitingRequests: Int
    /// The faults to begin with; `POST /admin/faults` changes them per replica.
    public var faults: FaultPlan

    /// Creates a configuration; without arguments but an engine, one server on any free port of the loopback address.
    public init(
        engine: EngineConfiguration, models: [String] = ["sim"], host: String = "127.0.0.1", port: Int = 0,
        replicas: Int = 1, speedup: Double = 1, seed: UInt64 = 1, mode: Mode = .engine, maxModelTokens: Int = 131_072,
        maxBodyBytes: Int = 32 << 20, maxWaitingRequests: Int = 20_000, faults: FaultPlan = FaultPlan()
    ) {
        self.host = host
        self.port = port
        self.replicas = replicas
        self.models = models
        self.engine = engine
        self.speedup = speedup
        self.seed = seed
        self.mode = mode
        self.maxModelTokens = maxModelTokens
        self.maxBodyBytes = maxBodyBytes
        self.maxWaitingRequests = maxWaitingRequests
        self.faults = faults
    }

    /// Checks what a person may have mistyped.
    func validate() throws(ModelServerError) {
        guard replicas >= 1, replicas <= 1024 else { throw .invalid("replicas must be 1 to 1024, not \(replicas)") }
        guard port >= 0, port == 0 || port + replicas - 1 <= 65_535 else {
            throw .invalid("ports \(port) to \(port + replicas - 1) do not all exist")
        }
        guard speedup.isFinite, speedup > 0 else { throw .invalid("speedup must be above 0, not \(speedup)") }
        guard models.contains(where: { !$0.isEmpty }) else { throw .invalid("at least one model name is needed") }
        guard maxModelTokens >= 2, engine.kvTokens >= 2 else {
            throw .invalid("the engine must hold at least two tokens")
        }
    }
}

/// Why simulated servers did not start.
public enum ModelServerError: Error, Hashable, Sendable, CustomStringConvertible {
    /// A setting is impossible; the text says which and why.
    case invalid(String)

    /// The reason as a sentence fragment.
    public var description: String {
        switch self {
        case .invalid(let reason): reason
        }
    }
}
