import Basics
import EngineModel
import InferenceAPI
import ModelServer
import NIOPosix
import Testing

/// What a server says about itself.
struct ObservationTests {
    @Test func modelsAndHealth() async throws {
        try await withServer { server in
            let list = try json(try await TestClient.get("/v1/models", port: server.ports[0]).body)
            #expect(value(list, "data", 0, "id") as? String == "sim")
            #expect(value(list, "data", 1, "id") as? String == "sim-alias")
            #expect(value(list, "data", 0, "max_model_len") as? Int == 131_072)
            #expect(try await TestClient.get("/health?deep=1", port: server.ports[0]).status == 200)
        }
    }

    @Test func metricsHaveTheNamesOfVLLM() async throws {
        try await withServer(engine: { $0.kvBlocks = 5000 }) { server in
            _ = try await TestClient.post(
                chatPath, port: server.ports[0], chat("hello there", #","max_tokens":9,"ignore_eos":true"#))
            let page = try await TestClient.get("/metrics", port: server.ports[0]).body
            for name in ["num_requests_running", "num_requests_waiting", "num_preemptions_total"] {
                #expect(sample(page, "vllm:" + name) == 0)
            }
            #expect(sample(page, "vllm:kv_cache_usage_perc") == 0)
            #expect(sample(page, "vllm:prompt_tokens_total", label: #"model_name="sim""#) == 4)
            #expect(sample(page, "vllm:generation_tokens_total") == 9)
            #expect(sample(page, "vllm:prefix_cache_queries_total") == 4)
            #expect(sample(page, "vllm:prefix_cache_hits_total") == 0)
            #expect(sample(page, "vllm:request_success_total", label: #"finished_reason="length""#) == 1)
            #expect(sample(page, "vllm:request_success_total", label: #"finished_reason="stop""#) == 0)
            #expect(sample(page, "vllm:cache_config_info", label: #"block_size="16""#) == 1)
            #expect(sample(page, "vllm:cache_config_info", label: #"num_gpu_blocks="5000""#) == 1)
            #expect(sample(page, "vllm:inter_token_latency_seconds_count") == 8)
            #expect(sample(page, "vllm:inter_token_latency_seconds_bucket", label: #"le="80.0""#) == 8)
            #expect(sample(page, "vllm:request_params_max_tokens_sum") == 9)
            for name in [
                "time_to_first_token_seconds", "time_per_output_token_seconds", "request_time_per_output_token_seconds",
                "e2e_request_latency_seconds", "request_queue_time_seconds", "request_inference_time_seconds",
                "request_prefill_time_seconds", "request_decode_time_seconds", "request_prompt_tokens",
                "request_generation_tokens", "request_max_num_generation_tokens",
            ] {
                let count = sample(page, "vllm:\(name)_count")
                #expect(sample(page, "vllm:\(name)_bucket", label: #"le="+Inf""#) == count && (count ?? 0) > 0)
            }
        }
    }

    @Test func timesAreThoseOfTheEngineWhateverTheSpeedup() async throws {
        try await withServer(speedup: 20) { server in
            _ = try await TestClient.post(
                chatPath, port: server.ports[0], chat("hello there", #","max_tokens":101,"ignore_eos":true"#))
            let page = try await TestClient.get("/metrics", port: server.ports[0]).body
            let step = try #require(EngineConfiguration.preset(named: "llama-8b-h100")).stepTime.baseMilliseconds / 1000
            // A hundred decodes, whatever a stalled test machine adds (20-fold); real time is a twentieth.
            let decode = try #require(sample(page, "vllm:request_decode_time_seconds_sum"))
            #expect(decode > 100 * step && decode < 20)
            // 20 ms outside the engine and one step.
            let first = try #require(sample(page, "vllm:time_to_first_token_seconds_sum"))
            #expect(first > 0.02 + step)
        }
    }

    @Test func timeToFirstTokenIncludesTheQueue() async throws {
        try await withServer(speedup: 4, engine: { $0.maxSequences = 1 }) { server in
            let port = server.ports[0]
            let body = chat("x", #","max_tokens":101,"ignore_eos":true"#)
            try await withThrowingTaskGroup(of: Int.self) { group in
                // Several, so that one that a busy machine sends late does not decide.
                for _ in 0..<4 { group.addTask { try await TestClient.post(chatPath, port: port, body).status } }
                for try await status in group { #expect(status == 200) }
            }
            let page = try await TestClient.get("/metrics", port: port).body
            #expect((sample(page, "vllm:time_to_first_token_seconds_bucket", label: #"le="0.25""#) ?? 4) <= 3)
            #expect((sample(page, "vllm:time_to_first_token_seconds_sum") ?? 0) > 0.4)
            #expect((sample(page, "vllm:request_queue_time_seconds_sum") ?? 0) > 0.4)
        }
    }

    @Test func replicasHavePortsAndEnginesOfTheirOwn() async throws {
        try await withServer(replicas: 3) { server in
            #expect(Set(server.ports).count == 3)
            _ = try await TestClient.post(chatPath, port: server.ports[1], chat("x", #","max_tokens":2"#))
            #expect(try await server.statistics.map(\.finished) == [0, 1, 0])
        }
    }

    @Test func portsFollowEachOtherAndATakenOneStopsAll() async throws {
        let engine = try #require(EngineConfiguration.preset(named: "llama-8b-h100"))
        func start(port: Int, replicas: Int) async throws -> ModelServer {
            try await ModelServer.start(
                ModelServerConfiguration(engine: engine, port: port, replicas: replicas),
                group: MultiThreadedEventLoopGroup.singleton)
        }
        // Below the range from which the system hands out ports, so that no other test is given one of these.
        var first = 0
        for candidate in stride(from: 23_001, to: 32_000, by: 97) where first == 0 {
            guard let three = try? await start(port: candidate, replicas: 3) else { continue }
            #expect(three.ports == [candidate, candidate + 1, candidate + 2])
            await three.shutdown()
            first = candidate
        }
        try #require(first > 0)
        let other = try await start(port: first + 1, replicas: 1)
        await #expect(throws: (any Error).self) { try await start(port: first, replicas: 2) }
        let single = try await start(port: first, replicas: 1)
        #expect(single.ports == [first], "the port of the failed start is free again")
        await single.shutdown()
        await other.shutdown()
    }

    @Test(arguments: [(0, 8000, 1.0), (2, 65_535, 1.0), (1, 0, 0), (1, 0, .nan)])
    func impossibleSettingsAreRefused(replicas: Int, port: Int, speedup: Double) async throws {
        let engine = try #require(EngineConfiguration.preset(named: "llama-8b-h100"))
        let configuration = ModelServerConfiguration(engine: engine, port: port, replicas: replicas, speedup: speedup)
        await #expect(throws: ModelServerError.self) {
            try await ModelServer.start(configuration, group: MultiThreadedEventLoopGroup.singleton)
        }
    }
}
