public import Basics
import EngineModel
public import Harvest

/// What a scenario may be told. Every value has the default of the reference experiments (`workloads.md` C.4).
public struct LabOptions: Sendable {
    /// Seed of everything random: the generated trace, jitter, noise.
    public var seed: UInt64 = 1
    /// The factor on the rate of the trace.
    public var scale = 1.0
    /// Factors on the rate of the trace, on top of `scale`, that a scenario at rising load goes through; empty takes the
    /// scenario's own.
    public var loads: [Double] = []
    /// How many seeds to run with, from `seed` on. With more than one, each figure is reported with its mean and its
    /// 95 % interval over them.
    public var seeds = 1
    /// The name of an engine preset.
    public var engine = "llama-8b-h100"
    /// Model servers in the pool.
    public var replicas = 1
    /// Policies to compare; empty takes the scenario's own list.
    public var policies: [Policy] = []
    /// How the trace file is written.
    public var format = TraceFormat.azure
    /// Only this much of the trace, after scaling, or of the traffic of a scenario without one; nil takes all of it.
    public var duration: TimeSpan?
    /// Whether the gateway does not know how long answers will be: it then sees limits of three times the truth.
    public var hidesLengths = false
    /// Standard deviation of the logarithm of step times; 0 for none.
    public var stepNoiseSigma = 0.0
    /// The factor by which `weir` takes any engine to be slower than it does by default, before it has seen it work.
    public var priorFactor = 1.0
    /// Messages of the push scenarios.
    public var messages = 20_000
    /// Messages pushed per second.
    public var messagesPerSecond = 1000.0
    /// How long after its arrival a message is wanted; nil for no deadline.
    public var completionWindow: TimeSpan?
    /// The law by which the `weir` policies let batch work in. Its TTFT and TPOT limits are also what counts as good.
    public var harvest = HarvestConfiguration()

    /// Creates the default options.
    public init() {}

    /// Checks what can be checked without running, and looks the engine up.
    func validatedEngine() throws(LabError) -> EngineConfiguration {
        guard scale > 0, scale <= 1000 else { throw .badOption(name: "scale", reason: "must be above 0, at most 1000") }
        guard (1...256).contains(replicas) else { throw .badOption(name: "replicas", reason: "must be 1 to 256") }
        guard loads.count <= 32, loads.allSatisfy({ $0 > 0 && $0 * scale <= 1000 }) else {
            throw .badOption(name: "loads", reason: "must be at most 32 numbers above 0, at most 1000 with the scale")
        }
        guard (1...1000).contains(seeds) else { throw .badOption(name: "seeds", reason: "must be 1 to 1000") }
        if let duration, duration <= .zero { throw .badOption(name: "duration", reason: "must be above 0") }
        guard (0...1_000_000).contains(messages) else {
            throw .badOption(name: "messages", reason: "must be 0 to 1,000,000")
        }
        guard messagesPerSecond > 0, messagesPerSecond.isFinite else {
            throw .badOption(name: "messages-per-second", reason: "must be above 0")
        }
        guard stepNoiseSigma >= 0, stepNoiseSigma <= 1 else {
            throw .badOption(name: "noise", reason: "must be 0 to 1")
        }
        guard (0.01...100).contains(priorFactor) else {
            throw .badOption(name: "prior-factor", reason: "must be 0.01 to 100")
        }
        guard var configuration = EngineConfiguration.preset(named: engine) else { throw .unknownEngine(engine) }
        configuration.stepNoiseSigma = stepNoiseSigma
        return configuration
    }
}

/// A file that the caller has read: the lab itself opens none.
public struct LabFile: Sendable {
    /// Its name, for reports and errors.
    public var name: String
    /// Its content.
    public var bytes: [UInt8]

    /// Creates a file.
    public init(name: String, bytes: [UInt8]) {
        self.name = name
        self.bytes = bytes
    }
}

/// The files a scenario may use; what is missing is generated.
public struct LabFiles: Sendable {
    /// Real-time requests, in the format the options name.
    public var trace: LabFile?
    /// Lengths of offline lines.
    public var offline: LabFile?

    /// Creates a set of files.
    public init(trace: LabFile? = nil, offline: LabFile? = nil) {
        self.trace = trace
        self.offline = offline
    }
}
