public import Basics

extension Configuration {
    /// Model servers that serve the same models and share one scheduler.
    public struct Pool: Hashable, Sendable {
        /// The pool's name, in metrics, logs and the status page.
        public var name = ""
        /// The models it serves; empty asks the endpoints.
        public var models: [String] = []
        /// The model servers.
        public var endpoints: [Endpoint] = []
        /// What the scheduler believes about the speed of one endpoint.
        public var engine = Engine()
        /// What real-time users are promised.
        public var slo = ServiceLevel()
        /// How an endpoint is chosen for a request.
        public var routing = Routing()
        /// When requests wait in the gateway, how many, and in which order they leave.
        public var admission = Admission()
        /// What batch work may take.
        public var harvest = Harvest()
        /// How load is read from the endpoints.
        public var scrape = Scrape()

        /// Creates a pool without a name or endpoints.
        public init() {}
    }

    /// One model server.
    public struct Endpoint: Hashable, Sendable {
        /// Its root.
        public var url = EndpointURL(host: "", port: 0)
        /// What it runs, which decides the names of the metrics that are read from it.
        public var engine = EngineKind.auto
        /// Labels, for rules that name endpoints by them.
        public var labels: [String: String] = [:]
        /// Where it publishes what it has cached; nil if it does not.
        public var kvEvents: KVEvents?

        /// Creates an endpoint without a place.
        public init() {}

        /// Creates an endpoint.
        public init(url: EndpointURL, engine: EngineKind = .auto) {
            self.url = url
            self.engine = engine
        }
    }

    /// The model servers whose metrics are known.
    public enum EngineKind: String, Hashable, Sendable, CaseIterable {
        /// Found out from the endpoint's metrics.
        case auto
        /// vLLM.
        case vllm
        /// SGLang.
        case sglang
        /// `trtllm-serve`.
        case trtllm
        /// Triton with the TensorRT-LLM backend.
        case tritonTensorRTLLM = "triton-tensorrt-llm"
        /// Triton with any other backend.
        case triton
        /// llama.cpp.
        case llamacpp
        /// No metrics are read.
        case none
    }

    /// What the scheduler believes about one endpoint: a preset, and constants that replace parts of it.
    public struct Engine: Hashable, Sendable {
        /// The name of a known engine.
        public var preset = "llama-8b-h100"
        /// Replaces the preset's fixed cost of a step, in milliseconds.
        public var baseMilliseconds: Double?
        /// Replaces the preset's cost of each decoding request in a step, in milliseconds.
        public var perDecodeMilliseconds: Double?
        /// Replaces the preset's cost of each token of context read in a step, in milliseconds.
        public var perContextTokenMilliseconds: Double?
        /// Replaces the preset's cost of each prompt token computed, in milliseconds.
        public var perPrefillTokenMilliseconds: Double?
        /// Replaces the preset's KV cache size, in tokens.
        public var kvTokens: Int?
        /// Replaces the preset's limit on requests in one step.
        public var maxSequences: Int?

        /// Creates the default preset.
        public init() {}
    }

    /// What real-time users are promised.
    public struct ServiceLevel: Hashable, Sendable {
        /// Time to first token.
        public var ttft = TimeSpan.milliseconds(1000)
        /// Time per output token after the first.
        public var tpot = TimeSpan.milliseconds(50)

        /// Creates the defaults.
        public init() {}
    }

    /// What batch work may take.
    public struct Harvest: Hashable, Sendable {
        /// Whether batch work is let in at all.
        public var enabled = true
        /// Share of the TPOT objective that a token may take on average while batch work is aboard.
        public var stepShare = 0.75
        /// Share of the engine's time that prompts may take.
        public var prefillShare = 0.5
        /// Most batch prompts sent in one burst, as engine time.
        public var prefillBurst = TimeSpan.milliseconds(120)
        /// Share of the TTFT objective that waiting real-time prompts may take before batch work is called back.
        public var brakeShare = 0.7
        /// The same under traffic that comes in clumps.
        public var cautiousBrakeShare = 0.6
        /// Share of the KV cache beyond which batch work stops.
        public var kvShare = 0.85
        /// Quantile of recent real-time rises that is kept free.
        public var reserveQuantile = 0.95
        /// Hard limit on batch requests in flight on one endpoint; nil leaves it to the law.
        public var maxInFlightPerEndpoint: Int?
        /// Share of harvested tokens that aborts may throw away.
        public var abortedTokenShare = 0.05
        /// The same under traffic that comes in clumps.
        public var cautiousAbortedTokenShare = 0.25
        /// Share of real-time requests that may miss an objective for batch work's sake.
        public var toleratedMissShare = 0.0025

        /// Creates the defaults.
        public init() {}
    }

    /// How load is read from the endpoints.
    public struct Scrape: Hashable, Sendable {
        /// Time between two reads of one endpoint.
        public var interval = TimeSpan.milliseconds(500)
        /// Longest read.
        public var timeout = TimeSpan.seconds(1)
        /// Where the endpoints serve their metrics.
        public var path = "/metrics"
        /// Further metrics that an EndpointPickerConfig reads, as metric specs by attribute.
        public var attributes: [String: String] = [:]

        /// Creates the defaults.
        public init() {}

        /// The shortest interval that is accepted; engines compute their metrics on the path of inference.
        public static let shortestInterval = TimeSpan.milliseconds(50)
    }
}
