import Basics
import EngineModel
import Gateway
import Harvest
import InferenceAPI
import ModelServer
import NIOCore
import NIOPosix
import Pool
import PoolScheduler
import Testing

@Suite("Before simulated model servers", .timeLimit(.minutes(2)))
struct ModelServerTests {
    private func with(
        replicas: Int, slots: Int, faults: FaultPlan = FaultPlan(),
        _ body: (TestGateway, ModelServer) async throws -> Void
    ) async throws {
        let engine = try #require(EngineConfiguration.preset(named: "llama-8b-h100"))
        let configuration = ModelServerConfiguration(
            engine: engine, models: ["m"], replicas: replicas, speedup: 20, faults: faults)
        let servers = try await ModelServer.start(configuration, group: .singletonMultiThreadedEventLoopGroup)
        let pool = TestGateway.pool(servers.ports, slots: slots, models: [], metrics: .detected)
        try await TestGateway.with(pool, change: { $0.threads = 2 }) { try await body($0, servers) }
        await servers.shutdown()
    }

    @Test("models, load and KV size are read from the servers; streamed and whole answers carry usage")
    func answers() async throws {
        try await with(replicas: 1, slots: 10) { test, servers in
            #expect(test.gateway.models == ["m"])
            await test.until { $0.endpoints[0].scraped != nil }
            #expect(test.pool.endpoints[0].engine == "vllm")
            #expect(test.pool.endpoints[0].capacity.kvTokens == 26_312 * 16)
            let client = try await test.connect()
            client.post(#"{"model":"m","max_tokens":5,"ignore_eos":true,"messages":[{"role":"user","content":"hi"}]}"#)
            #expect(await client.readResponse()?.body.contains(#""completion_tokens":5"#) == true)
            #expect(await test.observer.records.next().usage?.completionTokens == 5)
            client.post(
                #"{"model":"m","max_tokens":7,"ignore_eos":true,"stream":true,"messages":[{"role":"user","content":"hi"}]}"#
            )
            #expect(await client.readResponse()?.body.hasSuffix("data: [DONE]\n\n") == true)
            let streamed = await test.observer.records.next()
            #expect(streamed.isStreamed && streamed.usage == nil)
            #expect((6...8).contains(streamed.outputEvents))
        }
    }

    @Test("messages in front of servers that answer at once are not paced for the configured engine")
    func instant() async throws {
        let engine = try #require(EngineConfiguration.preset(named: "llama-8b-h100"))
        let configuration = ModelServerConfiguration(engine: engine, models: ["m"], mode: .instant)
        let servers = try await ModelServer.start(configuration, group: .singletonMultiThreadedEventLoopGroup)
        let pool = TestGateway.pool(servers.ports, models: [], metrics: .none)
        let configured = try #require(pool.endpoints.first).capacity.stepTime
        try await TestGateway.with(pool) { test in
            let body = ByteBuffer(
                string: #"{"model":"m","max_tokens":300,"ignore_eos":true,"messages":[{"role":"user","content":"hi"}]}"#
            )
            for _ in 0..<100 {
                guard case .answered(let answer) = await test.gateway.perform(InferenceCall(body: body)) else {
                    Issue.record("not answered")
                    return
                }
                #expect(answer.usage?.completionTokens == 300)
            }
            let endpoint = test.pool.endpoints[0]
            #expect(endpoint.harvest.speedFactor > 1)
            #expect(endpoint.capacity.stepTime.baseMilliseconds < configured.baseMilliseconds)
        }
        await servers.shutdown()
    }

    @Test("after a storm of requests, faults, aborts and call-backs nothing is left, here or in the engines")
    func storm() async throws {
        var faults = FaultPlan()
        faults.rejectPerMille = 50
        faults.errorPerMille = 50
        faults.cutPerMille = 50
        try await with(replicas: 3, slots: 8, faults: faults) { test, servers in
            try await withThrowingTaskGroup { group in
                for seed in 0..<60 {
                    group.addTask { try await client(seed: UInt64(seed), test) }
                    group.addTask { await messages(seed: UInt64(seed), test) }
                }
                try await group.waitForAll()
            }
            while test.gateway.status().requests > 0 { await Task.yield() }
            test.expectIdle()
            #expect(test.pool.counters.submitted[.realtime] > 60)
            while try await servers.statistics.contains(where: { $0.load.running + $0.load.waiting > 0 }) {
                await Task.yield()
            }
        }
    }

    /// Some requests on one connection after another; every third is left in the middle.
    private func client(seed: UInt64, _ test: TestGateway) async throws {
        var generator = SeededGenerator(seed: seed)
        var connection = try await test.connect()
        for _ in 0..<8 {
            let streams = Bool.random(using: &generator)
            let tokens = Int.random(in: 1...60, using: &generator)
            connection.post(
                #"{"model":"m","max_tokens":\#(tokens),"stream":\#(streams),"messages":[{"role":"user","content":"go"}]}"#
            )
            if Int.random(in: 0..<3, using: &generator) == 0 {
                if Bool.random(using: &generator) { _ = await connection.read(until: "\r\n") }
                connection.close()
                connection = try await test.connect()
            } else if await connection.readResponse() == nil {
                connection.close()
                connection = try await test.connect()
            }
        }
        connection.close()
    }

    /// Some messages through the in-process door; every third is cancelled.
    private func messages(seed: UInt64, _ test: TestGateway) async {
        var generator = SeededGenerator(seed: seed)
        for _ in 0..<4 {
            let body = #"{"model":"m","max_tokens":30,"messages":[{"role":"user","content":"batch"}]}"#
            let task = Task { await test.gateway.perform(InferenceCall(body: ByteBuffer(string: body))) }
            if Int.random(in: 0..<3, using: &generator) == 0 { task.cancel() }
            _ = await task.value
        }
    }
}
