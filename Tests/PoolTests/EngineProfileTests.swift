import Testing

@testable import Pool

@Suite struct EngineProfileTests {
    static let vLLM = """
        # HELP python_gc_objects_collected_total Objects collected during gc
        # TYPE python_gc_objects_collected_total counter
        python_gc_objects_collected_total{generation="0"} 14207.0
        # HELP vllm:num_requests_running Number of requests in model execution batches.
        # TYPE vllm:num_requests_running gauge
        vllm:num_requests_running{engine="0",model_name="meta-llama/Llama-3.1-8B-Instruct"} 30.0
        # HELP vllm:num_requests_waiting Number of requests waiting to be processed.
        # TYPE vllm:num_requests_waiting gauge
        vllm:num_requests_waiting{engine="0",model_name="meta-llama/Llama-3.1-8B-Instruct"} 3.0
        # TYPE vllm:kv_cache_usage_perc gauge
        vllm:kv_cache_usage_perc{engine="0",model_name="meta-llama/Llama-3.1-8B-Instruct"} 4.25e-01
        # TYPE vllm:cache_config_info gauge
        vllm:cache_config_info{block_size="16",cache_dtype="auto",cpu_kvcache_space_bytes="None",engine="0",num_gpu_blocks="27648",sliding_window="None"} 1.0
        # TYPE vllm:time_to_first_token_seconds histogram
        vllm:time_to_first_token_seconds_bucket{engine="0",le="0.001",model_name="m"} 0.0
        vllm:time_to_first_token_seconds_bucket{engine="0",le="+Inf",model_name="m"} 812.0
        vllm:time_to_first_token_seconds_count{engine="0",model_name="m"} 812.0
        vllm:time_to_first_token_seconds_sum{engine="0",model_name="m"} 71.25
        """

    static let sglang = """
        # TYPE sglang:num_running_reqs gauge
        sglang:num_running_reqs{model_name="m",tp_rank="0"} 162.0
        # TYPE sglang:token_usage gauge
        sglang:token_usage{model_name="m",tp_rank="0"} 0.28
        # TYPE sglang:num_queue_reqs gauge
        sglang:num_queue_reqs{model_name="m",tp_rank="0"} 2826.0
        sglang:cache_config_info{num_pages="5000",page_size="64"} 1.0
        """

    static let triton = """
        # TYPE nv_inference_pending_request_count gauge
        nv_inference_pending_request_count{model="ensemble",version="1"} 4
        nv_inference_exec_count{model="ensemble",version="1"} 90000
        """

    static let tritonTensorRT =
        triton + """

            nv_trt_llm_request_metrics{model="tensorrt_llm",request_type="waiting",version="1"} 5
            nv_trt_llm_request_metrics{model="tensorrt_llm",request_type="scheduled",version="1"} 12
            nv_trt_llm_request_metrics{model="tensorrt_llm",request_type="max",version="1"} 512
            nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="fraction",model="tensorrt_llm",version="1"} 0.5
            nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="max",model="tensorrt_llm",version="1"} 8000
            nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="tokens_per",model="tensorrt_llm",version="1"} 64
            """

    static let trtllm = """
        trtllm_num_requests_waiting{engine_type="pytorch",model_name="m"} 1.0
        trtllm_num_requests_running{engine_type="pytorch",model_name="m"} 2.0
        trtllm_kv_cache_utilization{engine_type="pytorch",model_name="m"} 0.75
        trtllm_kv_cache_max_blocks{engine_type="pytorch",model_name="m"} 4096.0
        trtllm_kv_cache_tokens_per_block{engine_type="pytorch",model_name="m"} 32.0
        """

    static let llamaCpp = """
        # HELP llamacpp:kv_cache_usage_ratio KV-cache usage. 1 means 100 percent usage.
        # TYPE llamacpp:kv_cache_usage_ratio gauge
        llamacpp:kv_cache_usage_ratio 0.125
        # TYPE llamacpp:requests_processing gauge
        llamacpp:requests_processing 4
        # TYPE llamacpp:requests_deferred gauge
        llamacpp:requests_deferred 9
        """

    @Test(arguments: [
        (vLLM, "vllm", ScrapedMetrics(waiting: 3, running: 30, kvUsage: 0.425, kvBlocks: 27648, blockSizeTokens: 16)),
        (
            sglang, "sglang",
            ScrapedMetrics(waiting: 2826, running: 162, kvUsage: 0.28, kvBlocks: 5000, blockSizeTokens: 64)
        ),
        (trtllm, "trtllm", ScrapedMetrics(waiting: 1, running: 2, kvUsage: 0.75, kvBlocks: 4096, blockSizeTokens: 32)),
        (
            tritonTensorRT, "triton-tensorrt-llm",
            ScrapedMetrics(waiting: 5, running: 12, kvUsage: 0.5, kvBlocks: 8000, blockSizeTokens: 64)
        ),
        (triton, "triton", ScrapedMetrics(waiting: 4)),
        (llamaCpp, "llama.cpp", ScrapedMetrics(waiting: 9, running: 4, kvUsage: 0.125)),
    ])
    func engineAndLoadAreReadFromItsPage(page: String, engine: String, metrics: ScrapedMetrics) throws {
        let bytes = Array(page.utf8)
        let profile = try #require(EngineProfile.detect(page: bytes))
        #expect(profile.name == engine)
        #expect(ScrapedMetrics(page: bytes, profile: profile) == metrics)
        #expect(EngineProfile.named(engine) == profile)
    }

    @Test func anEngineIsKnownByItsTypesBeforeItsFirstSample() {
        #expect(EngineProfile.detect(page: Array("# TYPE sglang:token_usage gauge\n".utf8))?.name == "sglang")
        #expect(EngineProfile.detect(page: Array("# HELP x vllm:y\nprocess_cpu_seconds_total 1\n".utf8)) == nil)
        #expect(EngineProfile.detect(page: []) == nil)
        #expect(EngineProfile.named("tgi") == nil)
    }

    private func vLLMMetrics(_ page: String) -> ScrapedMetrics {
        ScrapedMetrics(page: Array(page.utf8), profile: .vLLM)
    }

    @Test func dataParallelRanksAreAddedUp() {
        let metrics = vLLMMetrics(
            """
            vllm:num_requests_waiting{engine="0"} 3
            vllm:num_requests_waiting{engine="1"} 4
            vllm:kv_cache_usage_perc{engine="0"} 0.2
            vllm:kv_cache_usage_perc{engine="1"} 0.4
            vllm:cache_config_info{block_size="16",engine="0",num_gpu_blocks="100"} 1
            vllm:cache_config_info{block_size="16",engine="1",num_gpu_blocks="100"} 1
            """)
        #expect(metrics.waiting == 7)
        #expect(abs((metrics.kvUsage ?? 0) - 0.3) < 1e-12)
        #expect(metrics.kvBlocks == 200)
        #expect(metrics.blockSizeTokens == 16)
        #expect(metrics.kvCapacityTokens == 3200)
    }

    @Test func theNewerNameOfASignalWins() {
        #expect(vLLMMetrics("vllm:gpu_cache_usage_perc 0.5\n").kvUsage == 0.5)
        #expect(vLLMMetrics("vllm:gpu_cache_usage_perc 0.5\nvllm:kv_cache_usage_perc 0.25\n").kvUsage == 0.25)
    }

    @Test func valuesThatCannotBeAreUnknownOrClamped() {
        for value in ["NaN", "+Inf", "-Inf", "-1", "x", ""] {
            #expect(
                vLLMMetrics("vllm:num_requests_waiting \(value)\nvllm:kv_cache_usage_perc \(value)\n")
                    == ScrapedMetrics())
        }
        let metrics = vLLMMetrics(
            """
            vllm:num_requests_running 1e300
            vllm:kv_cache_usage_perc 1.7
            vllm:cache_config_info{block_size="0",num_gpu_blocks="None"} 1
            """)
        #expect(metrics == ScrapedMetrics(running: 1_000_000_000_000_000, kvUsage: 1))
        #expect(ScrapedMetrics(kvBlocks: .max, blockSizeTokens: 2).kvCapacityTokens == nil)
    }
}
