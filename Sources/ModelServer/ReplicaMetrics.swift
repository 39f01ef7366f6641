import Basics
import EngineModel

/// What one simulated server counts, and how it says so on `/metrics`: vLLM's names and labels.
///
/// Times are those of the engine's clock, so they do not depend on the speedup. The time to first token begins when
/// the request has arrived and so includes the wait in the engine's queue, as in vLLM.
struct ReplicaMetrics: Sendable {
    enum FinishReason: String, CaseIterable, Sendable { case stop, length, abort }

    private static let firstTokenBounds = [
        0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160, 640,
        2560,
    ]
    private static let perTokenBounds = [
        0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80,
    ]
    private static let requestBounds = [
        0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680,
    ]

    private let model: String
    private let engine: EngineConfiguration
    private var finished: [FinishReason: Int] = [:]
    private var timeToFirstToken = Histogram(bounds: Self.firstTokenBounds)
    private var interTokenLatency = Histogram(bounds: Self.perTokenBounds)
    private var requestTimePerToken = Histogram(bounds: Self.perTokenBounds)
    private var endToEnd = Histogram(bounds: Self.requestBounds)
    private var queueTime = Histogram(bounds: Self.requestBounds)
    private var inferenceTime = Histogram(bounds: Self.requestBounds)
    private var prefillTime = Histogram(bounds: Self.requestBounds)
    private var decodeTime = Histogram(bounds: Self.requestBounds)
    private var promptTokens: Histogram
    private var generationTokens: Histogram
    private var maxTokens: Histogram
    /// Tokens of instant answers, which no engine has counted.
    private var instantPromptTokens = 0
    private var instantGenerationTokens = 0

    init(model: String, engine: EngineConfiguration, maxModelTokens: Int) {
        self.model = model
        self.engine = engine
        let bounds = Histogram.tokenBounds(upTo: maxModelTokens)
        promptTokens = Histogram(bounds: bounds)
        generationTokens = Histogram(bounds: bounds)
        maxTokens = Histogram(bounds: bounds)
    }

    mutating func firstToken(after span: TimeSpan) { timeToFirstToken.observe(span.seconds) }

    mutating func laterToken(after span: TimeSpan) { interTokenLatency.observe(span.seconds) }

    mutating func aborted() { finished[.abort, default: 0] += 1 }

    mutating func finished(_ job: InferenceJob, now: Instant) {
        finished[job.endsByItself ? .stop : .length, default: 0] += 1
        promptTokens.observe(Double(job.promptTokens))
        generationTokens.observe(Double(job.outputTokens))
        if let limit = job.maxTokens { maxTokens.observe(Double(limit)) }
        endToEnd.observe((now - job.arrived).seconds)
        guard let admitted = job.admitted, let first = job.firstToken else { return }
        queueTime.observe((admitted - job.arrived).seconds)
        inferenceTime.observe((now - admitted).seconds)
        prefillTime.observe((first - admitted).seconds)
        decodeTime.observe((now - first).seconds)
        if job.outputTokens > 1 {
            requestTimePerToken.observe((now - first).seconds / Double(job.outputTokens - 1))
        }
    }

    mutating func answeredInstantly(_ job: InferenceJob) {
        instantPromptTokens += job.promptTokens
        instantGenerationTokens += job.outputTokens
    }

    /// The exposition text.
    func text(load: EngineLoad) -> String {
        let name = Self.escaped(model)
        let labels = "engine=\"0\",model_name=\"\(name)\""
        var text = ""
        text.reserveCapacity(24 << 10)
        func single(_ type: String, _ name: String, _ help: String, _ value: String) {
            text += "# HELP \(name) \(help)\n# TYPE \(name) \(type)\n\(name){\(labels)} \(value)\n"
        }
        func gauge(_ name: String, _ help: String, _ value: String) { single("gauge", name, help, value) }
        func counter(_ name: String, _ help: String, _ value: Int) { single("counter", name, help, "\(value)") }
        gauge("vllm:num_requests_running", "Requests in the running batch.", "\(load.running)")
        gauge("vllm:num_requests_waiting", "Requests that wait to run.", "\(load.waiting)")
        gauge("vllm:kv_cache_usage_perc", "Share of the KV cache in use, 0 to 1.", "\(load.kvUsage)")
        counter("vllm:num_preemptions_total", "Preemptions.", load.preemptions)
        counter(
            "vllm:prompt_tokens_total", "Prompt tokens processed.", load.promptTokens + instantPromptTokens)
        counter(
            "vllm:generation_tokens_total", "Tokens generated.", load.generationTokens + instantGenerationTokens)
        counter("vllm:prefix_cache_queries_total", "Tokens looked up in the prefix cache.", load.prefixQueryTokens)
        counter("vllm:prefix_cache_hits_total", "Tokens found in the prefix cache.", load.prefixHitTokens)
        text += "# HELP vllm:request_success_total Requests that ended.\n# TYPE vllm:request_success_total counter\n"
        for reason in FinishReason.allCases {
            text += "vllm:request_success_total{\(labels),finished_reason=\"\(reason.rawValue)\"} "
            text += "\(finished[reason] ?? 0)\n"
        }
        text += "# HELP vllm:cache_config_info The KV cache.\n# TYPE vllm:cache_config_info gauge\n"
        text += "vllm:cache_config_info{engine=\"0\",block_size=\"\(engine.blockSizeTokens)\",cache_dtype=\"auto\","
        text += "enable_prefix_caching=\"\(engine.prefixCaching ? "True" : "False")\",num_cpu_blocks=\"0\","
        text += "num_gpu_blocks=\"\(engine.kvBlocks)\"} 1.0\n"
        appendHistograms(to: &text, labels: labels)
        return text
    }

    private func appendHistograms(to text: inout String, labels: String) {
        let families: [(String, String, Histogram)] = [
            ("time_to_first_token_seconds", "Arrival to first token.", timeToFirstToken),
            ("inter_token_latency_seconds", "Time between tokens.", interTokenLatency),
            ("time_per_output_token_seconds", "Time between tokens, under its older name.", interTokenLatency),
            ("request_time_per_output_token_seconds", "Mean time per token of a request.", requestTimePerToken),
            ("e2e_request_latency_seconds", "Arrival to last token.", endToEnd),
            ("request_queue_time_seconds", "Arrival to first admission.", queueTime),
            ("request_inference_time_seconds", "First admission to last token.", inferenceTime),
            ("request_prefill_time_seconds", "First admission to first token.", prefillTime),
            ("request_decode_time_seconds", "First to last token.", decodeTime),
            ("request_prompt_tokens", "Prompt tokens of a request.", promptTokens),
            ("request_generation_tokens", "Generated tokens of a request.", generationTokens),
            ("request_params_max_tokens", "Limit that a request set.", maxTokens),
            ("request_max_num_generation_tokens", "Generated tokens of the longest choice.", generationTokens),
        ]
        for (name, help, histogram) in families {
            histogram.append(to: &text, name: "vllm:" + name, help: help, labels: labels)
        }
    }

    private static func escaped(_ value: String) -> String {
        var escaped = ""
        for character in value {
            switch character {
            case "\\": escaped += "\\\\"
            case "\"": escaped += "\\\""
            case "\n": escaped += "\\n"
            default: escaped.append(character)
            }
        }
        return escaped
    }
}
