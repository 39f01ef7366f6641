/// Which series of an engine's metrics page tell its load.
public struct EngineProfile: Hashable, Sendable {
    /// A quantity that Weir wants to know.
    public enum Signal: Hashable, Sendable {
        /// Requests in the engine's queue.
        case waiting
        /// Requests in the running batch.
        case running
        /// Share of the KV cache in use, 0...1.
        case kvUsage
        /// Size of the KV cache in blocks.
        case kvBlocks
        /// Tokens in a block.
        case blockSize
    }

    /// Where a signal is found: in the value of a series, or in one of its labels.
    public struct Source: Hashable, Sendable {
        /// The quantity.
        public let signal: Signal
        /// The series.
        public let spec: MetricSpec
        /// The label that holds the quantity; nil when the value does.
        public let label: String?

        /// Creates a source.
        public init(_ signal: Signal, _ spec: MetricSpec, label: String? = nil) {
            self.signal = signal
            self.spec = spec
            self.label = label
        }
    }

    /// Name of the engine, as in configuration files and the `llm-d.ai/engine-type` label.
    public let name: String
    /// What the names of this engine's metrics begin with.
    public let metricPrefix: String
    /// Sources in order of preference: of several for one signal, the first that the page has counts.
    public let sources: [Source]
    /// The series whose labels tell the LoRA adapters; see `AdapterReport`.
    public let adapters: MetricSpec?

    /// Creates a profile.
    public init(name: String, metricPrefix: String, sources: [Source], adapters: MetricSpec? = nil) {
        self.name = name
        self.metricPrefix = metricPrefix
        self.sources = sources
        self.adapters = adapters
    }

    /// The engines that Weir knows (reference gaie-protocol.md 3.1), more specific prefixes first.
    public static let known = [vLLM, sglang, trtllm, tritonTensorRT, triton, llamaCpp]

    /// The known profile of this name.
    public static func named(_ name: String) -> EngineProfile? { known.first { $0.name == name } }

    /// The engine that wrote a metrics page, judged by the names on it; nil if none is known.
    public static func detect(page: UnsafeRawBufferPointer) -> EngineProfile? {
        PrometheusText.firstPrefix(among: known.map(\.metricPrefix), in: page).map { known[$0] }
    }

    /// The engine that wrote a metrics page held in an array.
    public static func detect(page: [UInt8]) -> EngineProfile? { page.withUnsafeBytes(detect(page:)) }

    /// vLLM 0.6.4 and later; `gpu_cache_usage_perc` is the older name of the usage.
    public static let vLLM = EngineProfile(
        name: "vllm", metricPrefix: "vllm:",
        sources: [
            Source(.waiting, MetricSpec(name: "vllm:num_requests_waiting")),
            Source(.running, MetricSpec(name: "vllm:num_requests_running")),
            Source(.kvUsage, MetricSpec(name: "vllm:kv_cache_usage_perc")),
            Source(.kvUsage, MetricSpec(name: "vllm:gpu_cache_usage_perc")),
            Source(.kvBlocks, MetricSpec(name: "vllm:cache_config_info"), label: "num_gpu_blocks"),
            Source(.blockSize, MetricSpec(name: "vllm:cache_config_info"), label: "block_size"),
        ], adapters: MetricSpec(name: "vllm:lora_requests_info"))

    /// SGLang 0.4 and later, started with `--enable-metrics`.
    public static let sglang = EngineProfile(
        name: "sglang", metricPrefix: "sglang:",
        sources: [
            Source(.waiting, MetricSpec(name: "sglang:num_queue_reqs")),
            Source(.running, MetricSpec(name: "sglang:num_running_reqs")),
            Source(.kvUsage, MetricSpec(name: "sglang:token_usage")),
            Source(.kvBlocks, MetricSpec(name: "sglang:cache_config_info"), label: "num_pages"),
            Source(.blockSize, MetricSpec(name: "sglang:cache_config_info"), label: "page_size"),
        ])

    /// `trtllm-serve` of TensorRT-LLM.
    public static let trtllm = EngineProfile(
        name: "trtllm", metricPrefix: "trtllm_",
        sources: [
            Source(.waiting, MetricSpec(name: "trtllm_num_requests_waiting")),
            Source(.running, MetricSpec(name: "trtllm_num_requests_running")),
            Source(.kvUsage, MetricSpec(name: "trtllm_kv_cache_utilization")),
            Source(.kvBlocks, MetricSpec(name: "trtllm_kv_cache_max_blocks")),
            Source(.blockSize, MetricSpec(name: "trtllm_kv_cache_tokens_per_block")),
        ])

    /// Triton 25.03 and later with the TensorRT-LLM backend.
    public static let tritonTensorRT = EngineProfile(
        name: "triton-tensorrt-llm", metricPrefix: "nv_trt_llm_",
        sources: [
            Source(.waiting, requests(ofType: "waiting")),
            Source(.running, requests(ofType: "scheduled")),
            Source(.kvUsage, cacheBlocks(ofType: "fraction")),
            Source(.kvBlocks, cacheBlocks(ofType: "max")),
            Source(.blockSize, cacheBlocks(ofType: "tokens_per")),
        ])

    /// Triton with any other backend. Its execution count grows for ever, so nothing on the page tells what runs now.
    public static let triton = EngineProfile(
        name: "triton", metricPrefix: "nv_inference_",
        sources: [Source(.waiting, MetricSpec(name: "nv_inference_pending_request_count"))])

    /// llama.cpp's server, started with `--metrics`; releases since 2025 no longer tell the usage of the KV cache.
    public static let llamaCpp = EngineProfile(
        name: "llama.cpp", metricPrefix: "llamacpp:",
        sources: [
            Source(.waiting, MetricSpec(name: "llamacpp:requests_deferred")),
            Source(.running, MetricSpec(name: "llamacpp:requests_processing")),
            Source(.kvUsage, MetricSpec(name: "llamacpp:kv_cache_usage_ratio")),
        ])

    private static func requests(ofType type: String) -> MetricSpec {
        MetricSpec(name: "nv_trt_llm_request_metrics", labels: [.init(name: "request_type", value: type)])
    }

    private static func cacheBlocks(ofType type: String) -> MetricSpec {
        MetricSpec(
            name: "nv_trt_llm_kv_cache_block_metrics", labels: [.init(name: "kv_cache_block_type", value: type)])
    }
}
