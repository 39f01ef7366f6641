import Admission
import Basics
import Foundation
import Gateway
import NIOCore
import NIOHTTP1
import Pool
import Routing
import Testing

@Suite("Decisions", .timeLimit(.minutes(2)))
struct DecisionTests {
    private func json(_ text: String) throws -> [String: Any] {
        try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
    }

    private func ask(_ id: String, _ client: TestClient) async throws -> TestClient.Response {
        client.send("GET /weir/v1/decisions/\(id) HTTP/1.1\r\nHost: t\r\n\r\n")
        return try #require(await client.readResponse())
    }

    @Test("a trusted caller is told why a request went where it went, and what came of it")
    func receipt() async throws {
        let upstreams = [try await TestUpstream.start(), try await TestUpstream.start()]
        try await TestGateway.with(TestGateway.pool(upstreams.map(\.port), models: ["m"])) { test in
            let client = try await test.connect()
            let pinned = try await test.connect()
            client.post(smallBody, headers: ["X-Weir-Explain: true", "x-request-id: r1"])
            while upstreams.allSatisfy({ $0.requests.count == 0 }) { await Task.yield() }
            let early = try json(try await ask("r1", pinned).body)
            #expect((early["outcome"] as? [String: Any])?["output_tokens"] is NSNull)
            let index = upstreams[0].requests.count == 1 ? 0 : 1
            let request = await upstreams[index].requests.next()
            #expect(!request.head.headers.contains(name: "x-weir-explain"))
            request.answer(
                #"{"usage":{"prompt_tokens":9,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":4}}}"#)
            #expect(await client.readResponse()?.status == 200)
            let response = try await ask("r1", client)
            #expect(response.status == 200 && response.headers["content-type"] == "application/json")
            let receipt = try json(response.body)
            #expect(receipt["request_id"] as? String == "r1" && receipt["pool"] as? String == "pool")
            #expect(receipt["policy"] as? String == "cost")
            #expect(receipt["endpoint"] as? String == upstreams[index].name)
            let candidates = try #require(receipt["candidates"] as? [[String: Any]])
            #expect(candidates.compactMap { $0["endpoint"] as? String } == upstreams.map(\.name))
            for candidate in candidates {
                #expect(candidate["eligible"] as? Bool == true)
                #expect((candidate["predicted_ttft_ms"] as? Double ?? 0) > 0)
                let cost = try #require(candidate["cost_ms"] as? [String: Double])
                let parts = ["first_token", "decode", "interference", "penalty", "adapter"].compactMap { cost[$0] }
                #expect(parts.count == 5)
                #expect(abs(parts.reduce(0, +) - (cost["total"] ?? -1)) < 0.01)
            }
            let outcome = try #require(receipt["outcome"] as? [String: Any])
            #expect(outcome["output_tokens"] as? Int == 5 && outcome["cached_prompt_tokens"] as? Int == 4)
        }
    }

    @Test("others are told nothing, and their wish to know is not passed on")
    func untrusted() async throws {
        let upstream = try await TestUpstream.start()
        try await TestGateway.with(TestGateway.pool([upstream.port]), change: { $0.trustedCallers = [] }) { test in
            let client = try await test.connect()
            client.post(smallBody, headers: ["x-weir-explain: true", "x-request-id: r1"])
            let request = await upstream.requests.next()
            #expect(!request.head.headers.contains(name: "x-weir-explain"))
            request.answer("{}")
            #expect(await client.readResponse()?.status == 200)
            #expect(try await ask("r1", client).status == 404)
        }
    }

    @Test("of requests that nobody asked to explain, and of unknown ones, there is nothing to tell")
    func unknown() async throws {
        let upstream = try await TestUpstream.start()
        try await TestGateway.with(TestGateway.pool([upstream.port])) { test in
            let client = try await test.connect()
            client.post(smallBody, headers: ["x-request-id: r1"])
            await upstream.requests.next().answer("{}")
            #expect(await client.readResponse()?.status == 200)
            for id in ["r1", "r2", "", "%00"] { #expect(try await ask(id, client).status == 404) }
        }
    }

    /// A prompt of so many tokens, by the gateway's estimate.
    private func body(tokens: Int) -> String {
        #"{"model":"m","max_tokens":10,"messages":[{"role":"user","content":"\#(String(repeating: "word", count: tokens))"}]}"#
    }

    @Test("the limits that a request names count only from trusted callers", arguments: [true, false])
    func limits(isTrusted: Bool) async throws {
        let upstream = try await TestUpstream.start()
        try await TestGateway.with(
            TestGateway.pool([upstream.port]), change: { if !isTrusted { $0.trustedCallers = [] } }
        ) { test in
            let client = try await test.connect()
            client.post(body(tokens: 20_000))
            let first = await upstream.requests.next()
            let hasty = try await test.connect()
            hasty.post(body(tokens: 10), headers: ["X-LLM-D-SLO-TTFT-MS: 5"])
            // Some 400 ms of prefill are ahead of it.
            if isTrusted {
                await test.until { $0.queue.contains { $0.requests == 1 } }
                #expect(upstream.requests.count == 0)
                first.answer("{}")
                await upstream.requests.next().answer("{}")
            } else {
                await upstream.requests.next().answer("{}")
                first.answer("{}")
            }
            #expect(await client.readResponse()?.status == 200)
            #expect(await hasty.readResponse()?.status == 200)
        }
    }

    @Test("the second turn of a conversation follows the first, though that endpoint is busier by one")
    func conversation() async throws {
        let upstreams = [try await TestUpstream.start(), try await TestUpstream.start()]
        var pool = TestGateway.pool(upstreams.map(\.port))
        pool.endpoints[0].labels = ["place": "0"]
        pool.endpoints[1].labels = ["place": "1"]
        let rewrites = ["0", "1"].map {
            ModelRewrite(model: "at-\($0)", targets: [.init(model: "m", endpointLabels: ["place": $0])])
        }
        try await TestGateway.with(pool, change: { $0.rewrites = rewrites }) { test in
            let text = String(repeating: "a long story about a weir. ", count: 1500)
            let answer = String(repeating: "It held the water back. ", count: 50)
            let first = #"{"role":"user","content":"\#(text)"}"#
            let client = try await test.connect()
            client.post(#"{"model":"m","max_tokens":300,"messages":[\#(first)]}"#)
            while upstreams.allSatisfy({ $0.requests.count == 0 }) { await Task.yield() }
            let home = upstreams[0].requests.count == 1 ? 0 : 1
            await upstreams[home].requests.next().answer(
                #"{"choices":[{"index":0,"message":{"role":"assistant","content":"\#(answer)"}}],"#
                    + #""usage":{"prompt_tokens":10000,"completion_tokens":300}}"#)
            #expect(await client.readResponse()?.status == 200)
            let other = try await test.connect()
            other.post(#"{"model":"at-\#(home)","max_tokens":10,"messages":[]}"#)
            let running = await upstreams[home].requests.next()
            let turns =
                #"[\#(first),{"role":"assistant","content":"\#(answer)"},{"role":"user","content":"Why?"}]"#
            client.post(
                #"{"model":"m","max_tokens":300,"messages":\#(turns)}"#,
                headers: ["x-weir-explain: true", "x-request-id: second"])
            while upstreams.allSatisfy({ $0.requests.count == 0 }) { await Task.yield() }
            #expect(upstreams[home].requests.count == 1)
            let taker = upstreams[home].requests.count == 1 ? home : 1 - home
            await upstreams[taker].requests.next().answer("{}")
            running.answer("{}")
            #expect(await client.readResponse()?.status == 200)
            #expect(await other.readResponse()?.status == 200)
            let candidates = try json(try await ask("second", client).body)["candidates"] as? [[String: Any]]
            let cached = candidates?.map { $0["cached_prompt_tokens"] as? Int ?? -1 } ?? []
            try #require(cached.count == 2)
            #expect(cached[home] > 9000 && cached[1 - home] == 0, "\(cached)")
        }
    }
}
